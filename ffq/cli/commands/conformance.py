"""`ffq conformance`."""

from __future__ import annotations

from typing import Annotated

import typer

from ffq.cli.errors import FAILED
from ffq.cli.options import CoordinatorOption
from ffq.cli.target import target_of
from ffq.core.settings import MAX_COUNT, MAX_MS


def _setting(text: str) -> object:
    return typer.Option(help=f"The coordinator's {text}.", min=0, max=MAX_MS, metavar="N")


RuleOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Only what is there to try this rule, as R16; may be given several times.",
        metavar="RULE",
        show_default=False,
    ),
]
SeedOption = Annotated[int, typer.Option(help="Of the random programs.", metavar="N")]
ExamplesOption = Annotated[
    int,
    typer.Option(help="How many random programs to play.", min=0, max=MAX_COUNT, metavar="N"),
]
WorkerLivenessTimeoutMsOption = Annotated[int, _setting("worker_liveness_timeout_ms")]
MaxTaskAttemptsOption = Annotated[int, _setting("max_task_attempts")]
RetryBackoffBaseMsOption = Annotated[int, _setting("retry_backoff_base_ms")]
BlacklistFailureThresholdOption = Annotated[
    int,
    typer.Option(
        help="The coordinator's blacklist_failure_threshold.",
        min=1,
        max=MAX_COUNT,
        metavar="N",
    ),
]
BlacklistTtlMsOption = Annotated[int, _setting("blacklist_ttl_ms")]
MaxConcurrentTasksPerWorkerOption = Annotated[int, _setting("max_concurrent_tasks_per_worker")]
MaxConcurrentTasksPerQueryOption = Annotated[int, _setting("max_concurrent_tasks_per_query")]
UnrunnableTimeoutMsOption = Annotated[int, _setting("unrunnable_timeout_ms")]
SlackMsOption = Annotated[
    int,
    typer.Option(
        help="How late the coordinator may do what is due, ms, before that counts as a break.",
        min=1,
        max=MAX_MS,
        metavar="N",
    ),
]
MaxWaitMsOption = Annotated[
    int,
    typer.Option(
        help="Leave out what needs a longer wait than this, ms, by the settings given.",
        min=0,
        max=MAX_MS,
        metavar="N",
    ),
]


def conformance(
    context: typer.Context,
    coordinator: CoordinatorOption = None,
    rule: RuleOption = None,
    seed: SeedOption = 0,
    examples: ExamplesOption = 100,
    worker_liveness_timeout_ms: WorkerLivenessTimeoutMsOption = 15_000,
    max_task_attempts: MaxTaskAttemptsOption = 3,
    retry_backoff_base_ms: RetryBackoffBaseMsOption = 250,
    blacklist_failure_threshold: BlacklistFailureThresholdOption = 3,
    blacklist_ttl_ms: BlacklistTtlMsOption = 60_000,
    max_concurrent_tasks_per_worker: MaxConcurrentTasksPerWorkerOption = 8,
    max_concurrent_tasks_per_query: MaxConcurrentTasksPerQueryOption = 32,
    unrunnable_timeout_ms: UnrunnableTimeoutMsOption = 0,
    slack_ms: SlackMsOption = 2_000,
    max_wait_ms: MaxWaitMsOption = 30_000,
) -> None:
    """Try a coordinator, of whatever make, on the rules of the protocol.

    Plays clients and workers over the fixed wire and prints a row per rule: holds, broken (with the
    shortest script of calls found that shows it), or cannot be seen. It must be told the
    coordinator's settings where they are not the defaults; short ones make the run short. No worker
    may be attached to the coordinator meanwhile. Exit code 1 when a rule is broken.
    """
    from ffq.errors import InvalidRequest, StartupError

    try:
        from ffq.testing.conformance import RULES, RunOptions, report_lines, run_conformance
    except ModuleNotFoundError as error:
        raise StartupError(
            f"ffq conformance needs {error.name}: pip install 'ffq-runtime[test]'"
        ) from error
    from ffq.cli.interrupts import started
    from ffq.cli.output.consoles import note
    from ffq.testing.adapters.grpc import GrpcAdapter
    from ffq.testing.declared import DeclaredSettings

    declared = DeclaredSettings(
        blacklist_failure_threshold=blacklist_failure_threshold,
        max_concurrent_tasks_per_worker=max_concurrent_tasks_per_worker,
        max_concurrent_tasks_per_query=max_concurrent_tasks_per_query,
        max_task_attempts=max_task_attempts,
        retry_backoff_base_ms=retry_backoff_base_ms,
        worker_liveness_timeout_ms=worker_liveness_timeout_ms,
        blacklist_ttl_ms=blacklist_ttl_ms,
        unrunnable_timeout_ms=unrunnable_timeout_ms,
        slack_ms=slack_ms,
    )
    rules = frozenset(rule or RULES)
    if not rules <= set(RULES):
        raise InvalidRequest(f"--rule: rules are named R1 to R31, not {sorted(rules - set(RULES))}")
    options = RunOptions(rules=rules, seed=seed, examples=examples, max_wait_ms=max_wait_ms)
    started()
    with GrpcAdapter(target_of(context).endpoint) as adapter:
        report = run_conformance(adapter, declared, options, progress=note)
    for line in report_lines(report):
        typer.echo(line)
    if report.broken:
        raise typer.Exit(FAILED)
