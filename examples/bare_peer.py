r"""Client and worker by hand: grpcio and stubs generated from the .proto, no extension field set.

In the repository, with a coordinator running and no worker (the README says how to start one, and
where q1.json is from):

    mkdir -p build
    python -m grpc_tools.protoc -I ffq/proto \
        --python_out=build --grpc_python_out=build ffq_distributed.proto
    PYTHONPATH=build python examples/bare_peer.py 127.0.0.1:50051 q1.json 7
"""

import sys
import time

import ffq_distributed_pb2 as pb
import ffq_distributed_pb2_grpc as stubs
import grpc

endpoint, plan_file, query_id = sys.argv[1:]
channel = grpc.insecure_channel(endpoint)
control, shuffle = stubs.ControlPlaneStub(channel), stubs.ShuffleServiceStub(channel)
heartbeat = stubs.HeartbeatServiceStub(channel)

with open(plan_file, "rb") as file:
    control.SubmitQuery(pb.SubmitQueryRequest(query_id=query_id, physical_plan_json=file.read()))
while True:
    status = control.GetQueryStatus(pb.GetQueryStatusRequest(query_id=query_id)).status
    if status.state >= pb.QUERY_STATE_SUCCEEDED:
        break
    heartbeat.Heartbeat(pb.HeartbeatRequest(worker_id="bare", at_ms=int(time.time() * 1000)))
    for task in control.GetTask(pb.GetTaskRequest(worker_id="bare", capacity=1)).tasks:
        key = {"query_id": task.query_id, "stage_id": task.stage_id, "attempt": task.attempt}
        layout = {"layout_version": task.layout_version}
        layout["layout_fingerprint"] = task.layout_fingerprint
        print("running", task.stage_id, task.task_id, list(task.assigned_reduce_partitions))
        if task.stage_id == 0:
            upload = pb.RegisterQueryResultsRequest(query_id=query_id, ipc_payload=b"")
            control.RegisterQueryResults(upload)
        else:
            parts = [pb.MapOutputPartition(reduce_partition=0, bytes=8, rows=1, finalized=True)]
            output = pb.RegisterMapOutputRequest(map_task=task.task_id, **key, **layout)
            output.partitions.extend(parts)
            shuffle.RegisterMapOutput(output)
        report = pb.ReportTaskStatusRequest(task_id=task.task_id, **key, **layout)
        report.state = pb.TASK_STATE_SUCCEEDED
        control.ReportTaskStatus(report)
chunks = control.FetchQueryResults(pb.FetchQueryResultsRequest(query_id=query_id))
result = b"".join(chunk.payload for chunk in chunks)
print(pb.QueryState.Name(status.state), "result of", len(result), "bytes")
