"""Which stages have work, for whom, and whose turn it is (R8, R10, R11, R31).

Stages with work are kept in buckets by what they require of a worker. Each bucket is a ring of
queries: whoever is served goes to its end, in all the buckets it stands in, and whoever comes
enters at its end. So nobody is served twice before everybody who stood there first was served.

Workers of the same profile share the list of buckets that they match. It changes when a profile
or a requirement comes or goes, not when work does: to pick is to look at the heads of the matching
rings, whatever waits behind them or in other buckets.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

import attrs

from ffq.ids import QueryId, StageId
from ffq.messages import SPLITS


@attrs.frozen(cache_hash=True)
class Requirement:
    """What a task requires of a worker.

    Attributes:
        operators: custom operators it must advertise (R10).
        family: its engine family; None while the query has not fixed one (R31).
        splits: whether it must take shares of a stage.
        ours_only: whether it must set extension fields: others do not know a word of this plan, or
            number its stages otherwise.
        siblings: while the family is not fixed: the operators of the query's other stages. A family
            in which nobody could run them is not chosen if there is another in which all can be.
    """

    operators: frozenset[str]
    family: str | None = None
    splits: bool = False
    ours_only: bool = False
    siblings: frozenset[frozenset[str]] = frozenset()


@attrs.frozen(cache_hash=True)
class Profile:
    """What a worker can do. `ours`: it sets the protocol's extension fields."""

    capabilities: frozenset[str]
    family: str
    ours: bool

    def meets(self, requirement: Requirement) -> bool:
        """Whether such a worker may run such a task, as far as it alone decides."""
        return (
            requirement.operators <= self.capabilities
            and (requirement.family is None or requirement.family == self.family)
            and (not requirement.splits or SPLITS in self.capabilities)
            and (not requirement.ours_only or self.ours)
        )


@attrs.define(eq=False)
class _Bucket:
    """`ring`: query to the turn it took its place at. `unmatched_since_ms`: no profile meets it."""

    requirement: Requirement
    ring: OrderedDict[QueryId, int] = attrs.field(factory=OrderedDict)
    members: int = 0
    unmatched_since_ms: int | None = None


@attrs.define(eq=False)
class _Matches:
    workers: int = 0
    buckets: dict[Requirement, _Bucket] = attrs.field(factory=dict)


@attrs.define(eq=False)
class ReadyIndex:
    """Offers of stages with work, by query and requirement.

    `_offers[query][requirement]` maps each offered stage to the time since which it is offered.
    A query at its limit of running attempts is closed: its offers stand, but in no ring.
    """

    _turn: int = 0
    _buckets: dict[Requirement, _Bucket] = attrs.field(factory=dict)
    _offers: dict[QueryId, dict[Requirement, dict[StageId, int]]] = attrs.field(factory=dict)
    _closed: set[QueryId] = attrs.field(factory=set)
    _profiles: dict[Profile, _Matches] = attrs.field(factory=dict)

    # --- work comes and goes -----------------------------------------------------------------

    def offer(
        self, query_id: QueryId, stage_id: StageId, requirement: Requirement, now_ms: int
    ) -> None:
        """A stage has work. Offering it again changes nothing."""
        by_requirement = self._offers.setdefault(query_id, {})
        stages = by_requirement.get(requirement)
        if stages is None:
            stages = by_requirement[requirement] = {}
            bucket = self._buckets.get(requirement)
            if bucket is None:
                bucket = self._open_bucket(requirement, now_ms)
            bucket.members += 1
            if query_id not in self._closed:
                self._enter(bucket, query_id)
        stages.setdefault(stage_id, now_ms)

    def withdraw(self, query_id: QueryId, stage_id: StageId, requirement: Requirement) -> None:
        """A stage has no work any more. Withdrawing what is not offered changes nothing."""
        by_requirement = self._offers.get(query_id)
        if by_requirement is None or requirement not in by_requirement:
            return
        stages = by_requirement[requirement]
        stages.pop(stage_id, None)
        if stages:
            return
        del by_requirement[requirement]
        if not by_requirement:
            del self._offers[query_id]
        self._leave(self._buckets[requirement], query_id)

    def drop(self, query_id: QueryId) -> None:
        """The query has ended."""
        for requirement in self._offers.pop(query_id, {}):
            self._leave(self._buckets[requirement], query_id)
        self._closed.discard(query_id)

    def close(self, query_id: QueryId) -> None:
        """The query is at its limit of running attempts (R7)."""
        self._closed.add(query_id)
        for requirement in self._offers.get(query_id, {}):
            self._buckets[requirement].ring.pop(query_id, None)

    def reopen(self, query_id: QueryId) -> None:
        """The query is below its limit again."""
        if query_id in self._closed:
            self._closed.discard(query_id)
            for requirement in self._offers.get(query_id, {}):
                self._enter(self._buckets[requirement], query_id)

    def _enter(self, bucket: _Bucket, query_id: QueryId) -> None:
        self._turn += 1
        bucket.ring[query_id] = self._turn

    def _leave(self, bucket: _Bucket, query_id: QueryId) -> None:
        bucket.ring.pop(query_id, None)
        bucket.members -= 1
        if bucket.members == 0:
            del self._buckets[bucket.requirement]
            for matches in self._profiles.values():
                matches.buckets.pop(bucket.requirement, None)

    def _open_bucket(self, requirement: Requirement, now_ms: int) -> _Bucket:
        bucket = self._buckets[requirement] = _Bucket(requirement)
        self._match(bucket, now_ms)
        return bucket

    # --- whose turn it is --------------------------------------------------------------------

    def pick(
        self, profile: Profile, suits: Callable[[QueryId, StageId], bool]
    ) -> tuple[QueryId, StageId] | None:
        """The stage whose turn it is among those that such a worker may run; None: no work.

        `suits`: whether this very worker may be given something of the stage. Nearly always it
        may, so that the first one asked for is the one.
        """
        first: tuple[int, QueryId, StageId] | None = None
        matches = self._profiles.get(profile)
        for requirement, bucket in matches.buckets.items() if matches is not None else ():
            for query_id, turn in bucket.ring.items():
                if first is not None and turn > first[0]:
                    break
                for stage_id in self._offers[query_id][requirement]:
                    if suits(query_id, stage_id):
                        first = (turn, query_id, stage_id)
                        break
                else:
                    continue
                break
        return None if first is None else first[1:]

    def waiting_stages(self) -> Iterator[tuple[QueryId, StageId]]:
        """Stages with work that could be assigned now, for whomever."""
        for requirement, bucket in self._buckets.items():
            for query_id in bucket.ring:
                for stage_id in self._offers[query_id][requirement]:
                    yield query_id, stage_id

    def is_alone(self, profile: Profile, query_id: QueryId) -> bool:
        """Whether no other query has work that such a worker may run."""
        matches = self._profiles.get(profile)
        return matches is None or all(
            len(bucket.ring) <= 1 and (not bucket.ring or query_id in bucket.ring)
            for bucket in matches.buckets.values()
        )

    def served(self, query_id: QueryId) -> None:
        """The query was given assignments: it goes to the end of its rings."""
        for requirement in self._offers.get(query_id, {}):
            ring = self._buckets[requirement].ring
            if query_id in ring:
                self._turn += 1
                ring[query_id] = self._turn
                ring.move_to_end(query_id)

    def waiting_requirements(self, profile: Profile) -> Iterator[Requirement]:
        """Requirements of work that could be assigned now, and that such a worker meets."""
        matches = self._profiles.get(profile)
        if matches is not None:
            yield from (requirement for requirement, each in matches.buckets.items() if each.ring)

    def matches(self, profile: Profile, requirement: Requirement) -> bool:
        """Whether such a live worker may run work that is offered under this requirement."""
        matches = self._profiles.get(profile)
        return matches is not None and requirement in matches.buckets

    # --- who there is to run it --------------------------------------------------------------

    def add_worker(self, profile: Profile, now_ms: int) -> None:
        """A live worker has this profile."""
        matches = self._profiles.get(profile)
        if matches is None:
            matches = self._profiles[profile] = _Matches()
            self._match_all(now_ms)
        matches.workers += 1

    def remove_worker(self, profile: Profile, now_ms: int) -> None:
        """A live worker had this profile, and has it no more."""
        matches = self._profiles[profile]
        matches.workers -= 1
        if matches.workers == 0:
            del self._profiles[profile]
            self._match_all(now_ms)

    def is_met(self, profile: Profile, requirement: Requirement) -> bool:
        """Whether such a worker may run such a task, given all the other live workers."""
        if not profile.meets(requirement):
            return False
        if requirement.family is not None or not requirement.siblings:
            return True
        families = {each.family for each in self._profiles}
        return self._covers(profile.family, requirement) or not any(
            self._covers(family, requirement) for family in families
        )

    def _covers(self, family: str, requirement: Requirement) -> bool:
        return all(
            any(each.family == family and operators <= each.capabilities for each in self._profiles)
            for operators in requirement.siblings
        )

    def _match_all(self, now_ms: int) -> None:
        for bucket in self._buckets.values():
            self._match(bucket, now_ms)

    def _match(self, bucket: _Bucket, now_ms: int) -> None:
        matched = False
        for profile, matches in self._profiles.items():
            if self.is_met(profile, bucket.requirement):
                matches.buckets[bucket.requirement] = bucket
                matched = True
            else:
                matches.buckets.pop(bucket.requirement, None)
        if matched:
            bucket.unmatched_since_ms = None
        elif bucket.unmatched_since_ms is None:
            bucket.unmatched_since_ms = now_ms

    def offered_since_ms(self, query_id: QueryId, requirement: Requirement) -> int:
        """Since when the query has had work that requires this; there must be some now."""
        return min(self._offers[query_id][requirement].values())

    def offering(self) -> Iterable[QueryId]:
        """Queries with work, also those at their limit."""
        return self._offers.keys()

    # --- what nobody can run -----------------------------------------------------------------

    def unmatched_of(self, query_id: QueryId) -> Iterator[tuple[Requirement, int]]:
        """The query's requirements that no live worker meets, each with the time since when."""
        for requirement, stages in self._offers.get(query_id, {}).items():
            since_ms = self._buckets[requirement].unmatched_since_ms
            if since_ms is not None:
                yield requirement, max(since_ms, min(stages.values()))

    def unmatched_queries(self) -> tuple[QueryId, ...]:
        """Queries with work that no live worker can run, each once."""
        unmatched = (each for each in self._buckets.values() if each.unmatched_since_ms is not None)
        return tuple(dict.fromkeys(query_id for bucket in unmatched for query_id in bucket.ring))

    # --- for validate_state ------------------------------------------------------------------

    def offered(self) -> dict[QueryId, set[tuple[StageId, Requirement]]]:
        """Every offer there is."""
        return {
            query_id: {(stage, need) for need, stages in needs.items() for stage in stages}
            for query_id, needs in self._offers.items()
        }

    def closed(self) -> frozenset[QueryId]:
        return frozenset(self._closed)

    def profile_counts(self) -> dict[Profile, int]:
        return {profile: matches.workers for profile, matches in self._profiles.items()}

    def inconsistencies(self) -> Iterable[str]:
        """What does not agree within the index itself; nothing when all is well."""
        for requirement, bucket in self._buckets.items():
            members = {q for q, needs in self._offers.items() if requirement in needs}
            if bucket.members != len(members) or not members:
                yield f"bucket {requirement} counts {bucket.members} members of {len(members)}"
            if set(bucket.ring) != members - self._closed:
                yield f"the ring of {requirement} is not its open members"
            turns = list(bucket.ring.values())
            if turns != sorted(turns):
                yield f"the ring of {requirement} is out of turn"
        for query_id, needs in self._offers.items():
            if not needs or not all(needs.values()):
                yield f"query {query_id} has an empty offer"
        for profile, matches in self._profiles.items():
            met = {r for r in self._buckets if self.is_met(profile, r)}
            if set(matches.buckets) != met:
                yield f"profile {profile} does not match the buckets it meets"
