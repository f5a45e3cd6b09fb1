"""Bad input: each a typed error that names the actor and the message."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from ffq.runtime import Actor, ActorFailed, ActorRef, ActorSystem, Request, handles
from ffq.runtime.errors import (
    ActorEnded,
    ActorError,
    ActorNotFound,
    InvalidOption,
    MutablePayload,
    NameTaken,
    NotStarted,
    ProtocolError,
    SystemClosed,
    UnfrozenMessage,
    WrongReplyType,
)
from tests.runtime.stock import Add, Counter, Fail, Gate, Hold, Holder, Total, settle


async def test_bad_input_unfrozen_message() -> None:
    @attrs.define
    class Mutable(Request[None]):
        n: int

    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        for message in (Mutable(1), object(), 5, None, Add):
            with pytest.raises(UnfrozenMessage, match="/c: .*frozen"):
                await ref.cell.ref.ask(message)  # type: ignore[arg-type]


async def test_bad_input_ask_to_a_dead_actor() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter, name="c")
        await ref.kill()
        with pytest.raises(ActorEnded, match=r"/c will not reply to Add"):
            await ref.ask(Add(1))


async def test_bad_input_ask_to_a_never_started_actor() -> None:
    with pytest.raises(NotStarted, match="Counter"):
        await Counter().ctx.ref.ask(Add(1))

    class Leaks(Counter):
        async def on_start(self) -> None:
            leaked.append(self.ctx.ref)
            raise OSError("no start")

    leaked: list[ActorRef[Add | Total | Fail]] = []
    async with ActorSystem() as system:
        with pytest.raises(OSError, match="no start"):
            await system.spawn(Leaks, name="leaks")
        with pytest.raises(ActorEnded, match="/leaks"):
            await leaked[0].ask(Add(1))
        with pytest.raises(ActorNotFound, match="leaks"):
            system.get_actor("leaks")


@pytest.mark.parametrize("size", [-1, 0, 1.5, float("inf"), True, None])
async def test_bad_input_mailbox_size(size: object) -> None:
    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="/c: mailbox="):
            await system.spawn(Counter, name="c", mailbox=size)  # type: ignore[arg-type]


async def test_bad_input_other_options() -> None:
    async with ActorSystem() as system:
        with pytest.raises(InvalidOption, match="max_concurrency=0"):
            await system.spawn(Counter, max_concurrency=0)
        with pytest.raises(InvalidOption, match="stash=-1"):
            await system.spawn(Counter, stash=-1)
        for name in ("", "a/b"):
            with pytest.raises(InvalidOption, match="name="):
                await system.spawn(Counter, name=name)
        with pytest.raises(ProtocolError, match="spawn needs an Actor"):
            await system.spawn(dict)  # type: ignore[arg-type]


async def test_bad_input_two_actors_of_one_name() -> None:
    async with ActorSystem() as system:
        await system.spawn(Counter, name="c")
        with pytest.raises(NameTaken, match="/c"):
            await system.spawn(Holder, Gate(), name="c")


async def test_bad_input_wrong_reply_type_in_debug_mode() -> None:
    @attrs.frozen
    class Many(Request["list[int] | None"]):
        pass

    class Liar(Actor[Add | Many]):
        @handles(Add)
        async def add(self, message: Add) -> int:
            return "five"  # type: ignore[return-value]

        @handles(Many)
        def many(self, message: Many) -> list[int] | None:
            return {"no": "list"}  # type: ignore[return-value]

    async with ActorSystem(debug=True) as system:
        ref = await system.spawn(Liar, name="liar")
        with pytest.raises(WrongReplyType, match=r"/liar: the handler of Add returned 'five'.*int"):
            await ref.ask(Add(5))
        with pytest.raises(WrongReplyType, match="Many"):
            await ref.ask(Many())
    async with ActorSystem() as system:
        ref = await system.spawn(Liar)
        assert await ref.ask(Add(5)) == "five"  # type: ignore[comparison-overlap]


async def test_bad_input_mutable_payload_in_debug_mode() -> None:
    @attrs.frozen
    class Batch(Request[None]):
        rows: list[int]

    class Taker(Actor[Batch]):
        @handles(Batch)
        def take(self, message: Batch) -> None: ...

    async with ActorSystem(debug=True) as system:
        ref = await system.spawn(Taker, name="t")
        with pytest.raises(MutablePayload, match=r"/t: .*Batch.rows is a list"):
            await ref.ask(Batch([1]))


async def test_bad_input_a_system_used_after_it_closed() -> None:
    async with ActorSystem("gone") as system:
        ref = await system.spawn(Counter, name="c")
    with pytest.raises(SystemClosed, match="/c.*gone is closed.*Add"):
        await ref.ask(Add(1))
    with pytest.raises(SystemClosed, match="/c"):
        await ref.tell(Add(1))
    with pytest.raises(SystemClosed, match="/c"):
        ref.tell_nowait(Add(1))
    with pytest.raises(SystemClosed, match="gone"):
        await system.spawn(Counter)
    with pytest.raises(SystemClosed, match="gone"):
        async with system:
            pass
    with pytest.raises(SystemClosed, match="never is not open"):
        await ActorSystem("never").spawn(Counter)
    assert (await ref.stop()).path == "/c"  # what has ended can be stopped again


async def test_bad_input_a_spawn_during_shutdown() -> None:
    errors: list[ActorError] = []

    class Late(Actor[Total]):
        @handles(Total)
        async def total(self, message: Total) -> int:
            await gate.open.wait()
            for spawner in (self.ctx, self.ctx.system):
                try:
                    await spawner.spawn(Counter, name="late")
                except SystemClosed as error:
                    errors.append(error)
            return 0

    gate = Gate()
    async with ActorSystem("s") as system:
        ref = await system.spawn(Late, name="l")
        await ref.tell(Total())

        async def open_later() -> None:
            await settle()
            gate.open.set()

        ref.stop_nowait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_later)
            await ref.wait_ended()
    assert len(errors) == 1
    assert "/l/late cannot be spawned: /l is shutting down" in str(errors[0])


async def test_bad_input_a_spawn_while_the_system_shuts_down() -> None:
    class Last(Counter):
        async def on_stop(self) -> None:
            await self.ctx.system.spawn(Counter, name="after")

    with pytest.raises(ActorFailed) as caught:
        async with ActorSystem("s") as system:
            await system.spawn(Last)
    assert isinstance(caught.value.__cause__, SystemClosed)
    assert "/after cannot be spawned: the system s is shutting down" in str(caught.value.__cause__)


async def test_bad_input_stash_outside_of_a_handler() -> None:
    class Early(Actor[Add]):
        async def on_start(self) -> None:
            self.ctx.stash()

        @handles(Add)
        def add(self, message: Add) -> int:
            return 0

    async with ActorSystem() as system:
        with pytest.raises(ProtocolError, match="/e.*stash"):
            await system.spawn(Early, name="e")


async def test_bad_input_a_failing_handler_does_not_end_the_actor_for_its_askers() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Counter)
        for _ in range(3):
            with pytest.raises(ValueError, match="boom"):
                await ref.ask(Fail())
        with pytest.raises(TypeError):
            await ref.ask(Add("x"))  # type: ignore[arg-type]
        assert await ref.ask(Add(2)) == 2


async def test_bad_input_every_error_is_in_the_tree() -> None:
    from ffq.errors import FfqError
    from ffq.runtime import errors

    drawn = errors.__doc__ or ""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    for kind in classes:
        assert issubclass(kind, FfqError)
        if kind is not FfqError:
            assert kind.__name__ in drawn


async def test_bad_input_hold_in_a_stopped_holder_is_refused() -> None:
    async with ActorSystem() as system:
        ref = await system.spawn(Holder, Gate(), name="h")
        await ref.stop()
        with pytest.raises(ActorEnded, match="/h.*Hold"):
            await ref.ask(Hold("x"))
