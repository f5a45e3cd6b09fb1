"""Generate the Python code and type stubs of ffq/proto/*.proto.

    python scripts/generate_proto.py            write them next to the .proto files
    python scripts/generate_proto.py --check    exit 1 when a checked-in file is not current

Generated code differs between versions of the generators, so both are pinned here; the extra
`dev` installs them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTO_DIR = Path("ffq/proto")
GENERATORS = {"grpcio-tools": "1.85.1", "mypy-protobuf": "5.1.0"}
HEADS = ("--python_out", "--grpc_python_out", "--mypy_out", "--mypy_grpc_out")
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def wrong_generators() -> list[str]:
    """Generators whose installed version is not the pinned one, each as one line."""
    return [
        f"{name} is {version(name)}, need {wanted} (pip install -e '.[dev]')"
        for name, wanted in GENERATORS.items()
        if version(name) != wanted
    ]


def generate(into: Path) -> dict[Path, bytes]:
    """Run protoc into the empty folder `into`; the files by path relative to the project."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PROTO_DIR).glob("*.proto"))
    scripts = Path(sys.executable).parent
    # Named from the project's root, so that generated imports read `from ffq.proto import ...`.
    arguments = [
        "protoc",
        *(f"--plugin={plugin}={scripts / plugin}" for plugin in PLUGINS),
        f"-I{ROOT}",
        *(f"{head}=quiet:{into}" if "mypy" in head else f"{head}={into}" for head in HEADS),
        *sources,
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")
    made = {path.relative_to(into): path.read_bytes() for path in into.rglob("*_pb2*.py*")}
    if not made:
        sys.exit("protoc wrote nothing")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate ffq/proto's Python code.")
    parser.add_argument("--check", action="store_true", help="only compare, byte by byte")
    check = parser.parse_args().check
    if problems := wrong_generators():
        sys.exit("\n".join(problems))
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
    checked_in = {
        path.relative_to(ROOT): path.read_bytes() for path in (ROOT / PROTO_DIR).glob("*_pb2*.py*")
    }
    if check:
        stale = [
            str(p) for p in made.keys() | checked_in.keys() if made.get(p) != checked_in.get(p)
        ]
        if stale:
            sys.exit(f"not current, run scripts/generate_proto.py: {', '.join(sorted(stale))}")
        return
    for path in checked_in.keys() - made.keys():
        (ROOT / path).unlink()
    for path, data in made.items():
        (ROOT / path).write_bytes(data)
    print(f"wrote {len(made)} files to {PROTO_DIR}")


if __name__ == "__main__":
    main()
