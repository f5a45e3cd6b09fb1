"""The first start of a child: made, given a name, started, handed over when ready (A1, A9)."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

from ffq.errors import words
from ffq.runtime._cell import Cell
from ffq.runtime._checks import check_function, check_instance
from ffq.runtime._waits import waiting
from ffq.runtime._words import note
from ffq.runtime.errors import InvalidOption, NameTaken, NotStarted, ProtocolError, SystemClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ffq.runtime._actor_base import ActorBase
    from ffq.runtime._family import Family
    from ffq.runtime._options import Options


MOST_LEVELS: Final = 1024
BASE_RECURSION: Final = 500
"""Calls that the code around a tree of actors may nest."""


async def start_child(
    family: Family,
    factory: Callable[..., ActorBase[Any]],
    args: tuple[Any, ...],
    name: str | None,
    options: Options,
    get_if_exists: bool,
) -> Cell:
    """Start a child and wait until it is ready.

    Raises what the factory or `on_start` raised, NameTaken, InvalidOption, SystemClosed.
    """
    who = f"{family.path}/{name or _name_of(factory)}"
    family.system.check_thread(who)
    _check_factory(factory, who)
    options.check(who)
    if get_if_exists and name is None:
        raise InvalidOption(f"{who}: get_if_exists=True needs a name to look for")
    if name is not None:
        check_instance(f"{family.path}/: name", name, str)
        if get_if_exists and name in family.children:
            return await _existing(family.children[name], factory)
        _check_name(family, name)
    _check_open(family, who)
    _check_depth(family, who)
    actor = _make(factory, args, who)
    name = name or _new_name(family, type(actor).__name__)
    path = f"{family.path}/{name}"
    cell = Cell(family.system, family, path, options, factory, args, actor)
    family.children[name] = cell
    ready = cell.ready_event = trio.Event()
    family.nursery.start_soon(cell.run, name=cell.path)
    with _waiting_for_start(cell):
        try:
            await ready.wait()
        except BaseException:
            cell.kill()
            with trio.CancelScope(shield=True):
                await cell.wait_ended()
            if cell.errors:  # giving up on the start failed: that must not be lost
                raise cell.error() from None
            raise
    return _ready(cell)


def _name_of(factory: Callable[..., ActorBase[Any]]) -> str:
    named: object = getattr(factory, "__name__", None)
    return named if isinstance(named, str) else words(factory)


def _check_factory(factory: Callable[..., ActorBase[Any]], who: str) -> None:
    if hasattr(type(factory), "__routes__"):
        kind = type(factory).__qualname__
        raise InvalidOption(
            f"{who}: spawn needs the class {kind} and its arguments, not an object of it: an actor "
            "that restarts is made anew"
        )
    check_function(f"{who}: spawn", factory)


def _check_depth(family: Family, who: str) -> None:
    """Raise InvalidOption below the deepest level; see that a cancellation gets there.

    Trio cancels nested nurseries by recursion, some three calls for each.
    """
    level = family.path.count("/") + 1
    if level > MOST_LEVELS:
        raise InvalidOption(f"{who}: actors stand at most {MOST_LEVELS} levels below their system")
    needed = BASE_RECURSION + 4 * level
    if sys.getrecursionlimit() < needed:
        sys.setrecursionlimit(needed)


def _make(
    factory: Callable[..., ActorBase[Any]], args: tuple[Any, ...], who: str
) -> ActorBase[Any]:
    try:
        actor = factory(*args)
    except Exception as error:
        note(error, f"raised while {who} was made, before it started")
        raise
    if not hasattr(type(actor), "__routes__"):
        raise ProtocolError(
            f"{who}: spawn needs an Actor class or factory, which gave {words(actor)}"
        )
    return actor


def _waiting_for_start(cell: Cell) -> waiting:
    """Only the start is waited for: what the actor and its children handle meanwhile is not."""
    return waiting(cell if cell.busy is None else cell.busy, "spawn")


async def _existing(cell: Cell, factory: Callable[..., ActorBase[Any]]) -> Cell:
    kind: object = factory
    while isinstance(kind, partial):
        kind = kind.func
    if isinstance(kind, type) and not issubclass(cell.kind, kind):
        raise NameTaken(
            f"{cell.path} is alive and a {cell.kind.__qualname__}, not a {kind.__qualname__}"
        )
    if not cell.life.born:
        if cell.ready_event is None:
            cell.ready_event = trio.Event()
        with _waiting_for_start(cell):
            await cell.ready_event.wait()
    await trio.lowlevel.checkpoint()
    return _ready(cell)


def _ready(cell: Cell) -> Cell:
    if cell.life.born:
        return cell
    if cell.errors:
        raise cell.error()
    raise NotStarted(f"{cell.path} was ended before it was ready")


def _check_open(family: Family, who: str) -> None:
    cancelled = family.nursery.cancel_scope.cancel_called
    if family.system.closed or cancelled or not family.owner.takes_children():
        raise SystemClosed(
            f"{who} cannot be spawned: {family.path or 'the system ' + family.system.name} "
            "is shutting down"
        )


def _check_name(family: Family, name: str) -> None:
    if not name or "/" in name or not name.isprintable():
        raise InvalidOption(
            f"{family.path}/: name={name!r} must be non-empty, printable text without '/'"
        )
    if name in family.children:
        raise NameTaken(f"{family.path}/{name} is alive already; get_if_exists=True would share it")


def _new_name(family: Family, kind: str) -> str:
    while True:
        number = family.named[kind] = family.named.get(kind, 0) + 1
        if f"{kind}-{number}" not in family.children:
            return f"{kind}-{number}"
