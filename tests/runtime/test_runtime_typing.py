"""A2: typed messages and refs; the protocol is checked when the class is defined."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from mypy import api

from ffq.runtime import Actor, ActorSystem, Request, handles
from ffq.runtime.errors import (
    DuplicateHandler,
    MissingHandler,
    ProtocolError,
    UnfrozenMessage,
    UnhandledMessage,
)
from tests.runtime.stock import Add, Counter, Fail, Total

CASES = Path(__file__).parent / "typing_cases"


RUNTIME = CASES.parents[2] / "ffq" / "runtime"


def mypy(name: str, *more: str) -> tuple[str, int]:
    options = ["--strict", "--no-error-summary", "--no-pretty", "--follow-imports=silent", *more]
    out, err, status = api.run([*options, str(CASES / name)])
    assert not err
    return out, status


def marked_bad() -> dict[int, str]:
    lines = (CASES / "bad.py").read_text().splitlines()
    return {number: line for number, line in enumerate(lines, 1) if line.endswith("# bad")}


def refused(out: str) -> set[int]:
    return {int(line) for line in re.findall(r"bad\.py:(\d+):(?:\d+:)? -? ?error", out)}


def test_A2_mypy_strict_knows_the_reply_type() -> None:
    out, status = mypy("good.py")
    assert (out, status) == ("", 0)


def test_A2_mypy_strict_refuses_each_wrong_use_and_nothing_else() -> None:
    out, _ = mypy("bad.py")
    assert refused(out) == marked_bad().keys(), out


SPAWN = "factory: Callable[{}, ActorBase[M]],\n        *args: {},\n        name"


@pytest.mark.parametrize(
    ("file", "typed", "untyped", "lost"),
    [
        ("ref.py", "message: Sendable[M_contra, R]) -> R:", "message: Any) -> Any:", "ask("),
        ("ref.py", "message: Sendable[M_contra, Any], *", "message: Any, *", "tell"),
        (
            "_handlers.py",
            "kind: type[Sendable[M, R]]) -> Handles[M, R]:",
            "kind: Any) -> Handles[Any, Any]:",
            "@handles(Add)",
        ),
        (
            "spawner.py",
            SPAWN.format("[Unpack[Ts]]", "*Ts"),
            SPAWN.format("...", "Any"),
            "spawn(Counter",
        ),
    ],
    ids=["reply", "message", "handler", "arguments"],
)
def test_A2_ablation_without_the_types_mypy_lets_the_wrong_uses_pass(
    file: str, typed: str, untyped: str, lost: str, tmp_path: Path
) -> None:
    """The typing cases notice when a part of the types is switched off."""
    source = RUNTIME / file
    text = source.read_text()
    assert typed in text
    shadow = tmp_path / file
    shadow.write_text(text.replace(typed, untyped))
    out, _ = mypy("bad.py", "--shadow-file", str(source), str(shadow))
    passed = marked_bad().keys() - refused(out)
    assert any(lost in marked_bad()[number] for number in passed), out


# `.[dev]`, and so the gate, has it; for `.[test]` it is too large.
if importlib.util.find_spec("basedpyright") is not None:

    def test_A2_pyright_agrees() -> None:
        command = [sys.executable, "-m", "basedpyright", "--outputjson"]
        found: dict[str, set[int]] = {}
        for name in ("good.py", "bad.py"):
            done = subprocess.run(
                [*command, str(CASES / name)], capture_output=True, text=True, check=False
            )
            reports = json.loads(done.stdout)["generalDiagnostics"]
            found[name] = {
                report["range"]["start"]["line"] + 1
                for report in reports
                if report["severity"] == "error"
            }
        assert found == {"good.py": set(), "bad.py": set(marked_bad())}


def test_A2_missing_handler_fails_when_the_class_is_defined() -> None:
    with pytest.raises(MissingHandler, match=r"Half declares Total .*@handles\(Total\)"):

        class Half(Actor[Add | Total]):
            @handles(Add)
            def add(self, message: Add) -> int:
                return 0


def test_A2_an_inherited_protocol_still_binds() -> None:
    class More(Counter, Actor[Add]):
        pass

    assert More.__protocol__ == {Add, Total, Fail}
    with pytest.raises(MissingHandler, match="Late"):

        @attrs.frozen
        class Late(Request[None]):
            pass

        class Less(Counter, Actor[Late]):
            pass


async def test_A2_an_overridden_method_is_the_handler_without_a_new_mark() -> None:
    class Double(Counter):
        async def add(self, message: Add) -> int:
            return 2 * message.n

    async with ActorSystem() as system:
        assert await (await system.spawn(Double)).ask(Add(4)) == 8


def test_A2_two_handlers_of_one_message_are_refused() -> None:
    with pytest.raises(DuplicateHandler, match="one and two both handle Add"):

        class Twice(Actor[Add]):
            @handles(Add)
            def one(self, message: Add) -> int:
                return 1

            @handles(Add)
            def two(self, message: Add) -> int:
                return 2


def test_A2_an_unfrozen_message_in_a_protocol_is_refused() -> None:
    @attrs.define
    class Mutable(Request[None]):
        n: int

    class Bare(Request[None]):
        pass

    class Undecorated(Add):
        pass

    for kind in (Mutable, Bare, Undecorated):
        with pytest.raises(UnfrozenMessage, match=rf"Taker.*{kind.__name__}"):
            type("Taker", (Actor,), {"take": handles(kind)(lambda self, message: None)})


def test_A2_a_protocol_of_strings_is_refused() -> None:
    with pytest.raises(ProtocolError, match="Texty"):

        class Texty(Actor["Add"]):
            pass


async def test_A2_a_subclass_of_a_message_goes_to_its_bases_handler() -> None:
    @attrs.frozen
    class AddTwice(Add):
        pass

    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        assert await ref.ask(AddTwice(3)) == 3


async def test_A2_handlers_outside_the_protocol_are_private_but_work() -> None:
    class Shy(Actor[Total]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            await self.ctx.ref.tell(Add(1))
            return 0

        @handles(Add)
        def add(self, message: Add) -> int:
            seen.append(message.n)
            return 0

    seen: list[int] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Shy)
        await ref.ask(Total())
    assert seen == [1]


async def test_A2_catch_all_takes_what_no_other_handler_takes() -> None:
    class Sink(Actor):
        @handles(Add)
        def add(self, message: Add) -> int:
            return -1

        @handles(Request)
        def rest(self, message: object) -> str:
            return type(message).__name__

    async with ActorSystem() as system:
        ref = await system.spawn(Sink)
        assert await ref.ask(Add(1)) == -1
        assert await ref.ask(Total()) == "Total"  # type: ignore[comparison-overlap]


async def test_bad_input_a_message_no_handler_takes_names_actor_and_message() -> None:
    @attrs.frozen
    class Unknown(Request[None]):
        pass

    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        for send in (ref.ask, ref.tell):
            with pytest.raises(UnhandledMessage, match=r"/c .*no handler for .*Unknown"):
                await send(Unknown())  # type: ignore[arg-type]
        with pytest.raises(UnhandledMessage, match="Unknown"):
            ref.tell_nowait(Unknown())  # type: ignore[arg-type]
    assert system.ledger.rejected == 3
