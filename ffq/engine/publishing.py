"""Writes into a store: as `ffq.engine.staging`, where nothing can be renamed.

    {place}/.ffq-staging/{write id}/{stage}-{task}-{attempt}/...   what an attempt has written
    {place}/.ffq-staging/{write id}/old-{task}-{attempt}/...       copies of what is replaced
    {place}/.ffq-staging/{write id}/at-{task}-{attempt}            a commit that is under way
    {place}/.ffq-staging/{write id}/plan      what is to be seen, and what goes: decided once
    {place}/.ffq-staging/{write id}/done      it is so
    {place}/.ffq-staging/{write id}/settled   the query is over, and what became of its files
    {place}/.ffq-staging/claim...             the write that makes this folder, or file, anew

The place is the target folder, or the one that holds the target file. What is staged has names that
end in `.staged`: a glob that looks into hidden folders passes over it too.

The plan is made by the attempt of the commit that is first to create it. That one and each later
one do what it says: copy each staged object to its name, which has the write's id in it. So
whatever two attempts do, they do the same, and one set of files comes to be seen.

Two writes that make or replace the same take turns: by the claim. Whoever settles a write says so
first, then removes what is staged: an attempt that was paused finds nothing to copy. What it was
just doing then it takes back itself: for one that is under way `settled` and the copies stay.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import attrs

from ffq.engine.objects import Objects
from ffq.engine.staging import ABANDONED_S, STAGING
from ffq.errors import FfqError, InvalidRequest, PlanningError, StorageError
from ffq.ids import AttemptKey
from ffq.plan.terms import WriteMode, WriteTarget

STAGED_END: Final = ".staged"
_RUNNING, _OLD = "at-", "old-"
_STAYS: Final = b"what is visible stays"
_TAKEN_BACK: Final = b"what was visible is taken back"


@attrs.frozen
class _Plan:
    """What a commit makes of what is there.

    Attributes:
        rows: of all files.
        files: what is staged, as seen from the write's folder, and the name that it is to have, as
            seen from the place.
        old: what goes, as seen from the place, and its copy, from the write's folder.
        version: of a single file: the one that it replaces; once it is done, its own.
    """

    rows: int
    files: tuple[tuple[str, str], ...]
    old: tuple[tuple[str, str], ...]
    version: str | None

    def dump(self) -> bytes:
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> _Plan:
        found = json.loads(data)
        files, old = (tuple((a, b) for a, b in found[name]) for name in ("files", "old"))
        return cls(int(found["rows"]), files, old, found["version"])


class Publishing:
    """One write into a store.

    Each method raises OSError, StorageError where the store does not answer.
    """

    def __init__(self, target: WriteTarget) -> None:
        self._target = target
        self._objects = Objects(target.path.partition("://")[0])
        self._seen = target.path.rstrip("/")
        folder, _, name = self._seen.rpartition("/")
        self._place = folder if target.single_file else self._seen
        self._staging = f"{self._place}/{STAGING}"
        self._root = f"{self._staging}/{target.write_id}"
        self._claim = f"{self._staging}/claim{f'-{name}' if target.single_file else ''}"
        self._plan, self._done, self._settled = (
            f"{self._root}/{name}" for name in ("plan", "done", "settled")
        )

    def of_attempt(self, key: AttemptKey) -> str:
        """The folder of what an attempt stages."""
        return f"{self._root}/{key.stage_id}-{key.task_id}-{key.attempt}"

    # --- before ------------------------------------------------------------------------------

    def check(self) -> None:
        """Whether the query may write there, as far as can be said before.

        Raises:
            PlanningError: something is there that must not be.
        """
        if any(self._objects.read(uri) is not None for uri in (self._done, self._plan)):
            return
        creates = self._target.mode is WriteMode.CREATE
        there = self._objects.of(self._seen) is not None
        inside = [uri for uri in self._objects.within(self._seen) if uri != self._staging]
        if self._target.single_file and inside:
            raise PlanningError(f"cannot write to {self._seen}: it is a folder")
        if not self._target.single_file and there:
            raise PlanningError(f"cannot write files into {self._seen}: it is a file")
        if creates and (there or inside):
            raise taken(self._seen)

    # --- the commit --------------------------------------------------------------------------

    def commit(
        self, key: AttemptKey, staged: Sequence[str], rows: int, go_on: Callable[[], None]
    ) -> int:
        """Make what is staged visible, as far as no earlier attempt has; gives the rows.

        Args:
            staged: as seen from the write's folder.
            go_on: raises where the attempt shall end.

        Raises:
            PlanningError: something else has come to stand there, or another write does.
            StorageError: what is staged is not there any more: the query is over.
        """
        if (done := self._objects.read(self._done)) is not None:
            return _Plan.load(done).rows
        with suppress(OSError, FfqError):
            self._remove_abandoned()
        running = f"{self._root}/{_RUNNING}{key.task_id}-{key.attempt}"
        self._objects.create(running, b"")
        try:
            self._take_claim()
            plan = self._decided(key, staged, rows)
            self._carry_out(plan, go_on)
        finally:
            with suppress(OSError, FfqError):
                self._objects.remove([running])
        return plan.rows

    def _carry_out(self, plan: _Plan, go_on: Callable[[], None]) -> None:
        made = None
        try:
            self._check_standing(plan)
            go_on()
            self._make_visible(plan, go_on)
            made = self._version()
            self._check_standing(plan)
            self._objects.create(self._done, attrs.evolve(plan, version=made).dump())
            self._check_standing(plan)
        except Exception:
            with suppress(OSError, FfqError):
                self._withdraw(plan, made)
            raise
        self._release_claim()

    def _take_claim(self) -> None:
        if self._target.mode is WriteMode.APPEND:
            return
        while not self._has_claim():
            if (holder := self._objects.read(self._claim)) is not None:
                raise PlanningError(
                    f"cannot write to {self._seen}: another write does so now, "
                    f"{holder.decode(errors='replace')[:40]!r}; right would be to submit it again "
                    f"when that has ended, or, if it never will, to remove {self._claim}"
                )

    def _release_claim(self) -> None:
        appends = self._target.mode is WriteMode.APPEND
        if not appends and self._objects.read(self._claim) == self._target.write_id.encode():
            self._objects.remove([self._claim])

    def _decided(self, key: AttemptKey, staged: Sequence[str], rows: int) -> _Plan:
        """The plan: of the attempt that was first."""
        found = self._objects.read(self._plan)
        if found is None:
            plan = self._planned(key, staged, rows)
            creates = self._target.mode is WriteMode.CREATE
            if not (plan.old and creates) and self._objects.create(self._plan, plan.dump()):
                return plan
            found = self._objects.read(self._plan)
            if found is None and plan.old and creates:
                self._release_claim()
                raise taken(self._seen)
        if found is None:
            raise self._over()
        return _Plan.load(found)

    def _planned(self, key: AttemptKey, staged: Sequence[str], rows: int) -> _Plan:
        """What is replaced is copied before anything is decided, and so before it can have gone."""
        version = self._version()
        if self._target.single_file:
            old = [self._seen] if version else []
            files = [(staged[0], self._inside(self._seen))]
        else:
            appends = self._target.mode is WriteMode.APPEND
            old = [] if appends else sorted(self._there())
            files = [(each, self._visible_name(each)) for each in staged]
        copies = f"{_OLD}{key.task_id}-{key.attempt}"
        kept = [(self._inside(uri), f"{copies}/{at}{STAGED_END}") for at, uri in enumerate(old)]
        if self._target.mode is WriteMode.REPLACE:
            pairs = [(self._at(name), f"{self._root}/{copy}") for name, copy in kept]
            self._objects.copy(pairs, lambda: None)
        return _Plan(rows, tuple(files), tuple(kept), version)

    def _there(self) -> set[str]:
        """What is in the target folder; of writes under way nothing."""
        found = self._objects.below(self._seen)
        return {uri for uri in found if not uri.startswith(f"{self._staging}/")}

    def _visible_name(self, staged: str) -> str:
        """With the write's id in it: what other writes make visible has other names."""
        _, _, inside = staged.partition("/")
        if not inside or ".." in staged.split("/"):
            raise InvalidRequest(f"{staged!r} is no file of an attempt")
        stem, dot, suffix = inside.removesuffix(STAGED_END).rpartition(".")
        return f"{stem}-{self._target.write_id}{dot}{suffix}"

    def _make_visible(self, plan: _Plan, go_on: Callable[[], None]) -> None:
        """What goes is gone before anything new is seen: nobody finds rows of both."""

        def stands() -> None:
            go_on()
            if not self._is_standing():
                raise self._over()

        if not self._target.single_file:
            self._objects.remove([self._at(name) for name, _ in plan.old], stands)
        pairs = [(f"{self._root}/{staged}", self._at(name)) for staged, name in plan.files]
        self._objects.copy(pairs, stands)

    def _is_standing(self) -> bool:
        """Whether nobody has settled the write."""
        read = self._objects.read
        return read(self._settled) is None and read(self._plan) is not None

    def _check_standing(self, plan: _Plan) -> None:
        there = self._objects.below(self._root)
        staged = [f"{self._root}/{each}" for each, _ in plan.files]
        if self._settled in there or not there.keys() >= {self._plan, *staged}:
            raise self._over()

    def _over(self) -> StorageError:
        return StorageError(
            f"cannot write to {self._seen}: what was staged is gone, as the query is over"
        )

    def _withdraw(self, plan: _Plan, made: str | None) -> None:
        """Where the query is over, take back what this attempt has made visible since.

        Args:
            made: version of the single file, if this attempt has made it.
        """
        settled = self._objects.read(self._settled)
        if settled == _TAKEN_BACK:
            if self._target.single_file:
                if made is not None and made == self._version():
                    self._put_back(plan)
            else:
                self._objects.remove(self._at(name) for _, name in plan.files)
                others = self._there() - {self._at(name) for name, _ in plan.old}
                if plan.old and not others and self._has_claim():
                    self._put_back(plan)
            self._objects.remove(self._objects.below(self._root))
            self._release_claim()
        elif settled is None and not self._is_staged(plan):
            # It was settled altogether: what is left is of this attempt.
            self._objects.remove(self._objects.below(self._root))
            self._release_claim()

    def _is_staged(self, plan: _Plan) -> bool:
        return all(self._objects.of(f"{self._root}/{staged}") for staged, _ in plan.files)

    # --- after -------------------------------------------------------------------------------

    def discard_attempt(self, key: AttemptKey) -> None:
        """Remove what an attempt has staged."""
        self._objects.remove(self._objects.below(self.of_attempt(key)))

    def settle(self, *, succeeded: bool | None) -> None:
        """As `ffq.engine.staging.settle`."""
        done = self._objects.read(self._done)
        takes_back = succeeded is False or (succeeded is None and done is None)
        word = _TAKEN_BACK if takes_back else _STAYS
        if not self._objects.below(self._root) or not self._objects.create(self._settled, word):
            return  # another worker does, or has done it
        there = self._objects.below(self._root)
        running = any(uri.startswith(f"{self._root}/{_RUNNING}") for uri in there)
        found = self._objects.read(self._plan)
        plan = None if found is None else _Plan.load(found)
        copies = set() if plan is None else {f"{self._root}/{copy}" for _, copy in plan.old}
        self._objects.remove(there.keys() - copies - {self._plan, self._done, self._settled})
        if takes_back and plan is not None:
            self._take_back(plan, None if done is None else _Plan.load(done))
        left = {*copies, self._plan, self._done, self._settled}
        if takes_back and plan is not None and running:
            left -= {*copies, self._settled}
        self._objects.remove(left)
        self._release_claim()

    def _take_back(self, plan: _Plan, done: _Plan | None) -> None:
        """
        Args:
            done: as it was when it was done; None: it was not, and the claim is still held.
        """
        if self._target.single_file:
            now = self._version()
            ours = now != plan.version if done is None else now == done.version
            if ours and now is not None:
                self._put_back(plan)
            return
        made = [self._at(name) for _, name in plan.files]
        stood = done is None or any(self._objects.of(uri) for uri in made)
        self._objects.remove(made)
        if plan.old and stood and self._has_claim():  # else another write has replaced it since
            self._put_back(plan)

    def _has_claim(self) -> bool:
        mine = self._target.write_id.encode()
        return self._objects.create(self._claim, mine) or self._objects.read(self._claim) == mine

    def _put_back(self, plan: _Plan) -> None:
        if plan.old:
            there = self._objects.below(self._root)
            back = [(f"{self._root}/{copy}", self._at(name)) for name, copy in plan.old]
            self._objects.copy([pair for pair in back if pair[0] in there], lambda: None)
        else:
            self._objects.remove([self._seen])

    def _remove_abandoned(self) -> None:
        """Remove what writes left there whose workers were all killed, a day after."""
        roots: dict[str, list[str]] = {}
        newest: dict[str, float] = {}
        claims = []
        for uri, one in self._objects.below(self._staging).items():
            write_id, slash, _ = uri.removeprefix(f"{self._staging}/").partition("/")
            if not slash:
                claims.append(uri)
                continue
            roots.setdefault(write_id, []).append(uri)
            newest[write_id] = max(newest.get(write_id, 0), one.changed_s or time.time())
        for write_id, uris in roots.items():
            if time.time() - newest[write_id] <= ABANDONED_S:
                continue
            planned = f"{self._staging}/{write_id}/plan" in uris
            if not (planned and any(f"/{write_id}/{_OLD}" in uri for uri in uris)):
                self._objects.remove(uris)
                held = [uri for uri in claims if self._objects.read(uri) == write_id.encode()]
                self._objects.remove(held)

    # --- names -------------------------------------------------------------------------------

    def _version(self) -> str | None:
        """Of the single file, as it stands."""
        found = self._objects.of(self._seen) if self._target.single_file else None
        return None if found is None else found.version

    def _at(self, inside: str) -> str:
        return f"{self._place}/{inside}"

    def _inside(self, uri: str) -> str:
        return uri.removeprefix(f"{self._place}/")


def taken(path: object) -> PlanningError:
    """Something stands where a write was to make something new."""
    return PlanningError(
        f"cannot write to {path}: it exists already; right would be another path, or to replace it "
        f"(OVERWRITE)"
    )
