"""What clients do."""

from __future__ import annotations

import attrs

from ffq.testing.steps.player import Player


@attrs.frozen
class Submit:
    query: int
    plan: str

    def play(self, player: Player) -> None:
        query_id = player.query_id(self.query)
        player.submitted.add(query_id)
        player.session.submit(query_id, player.shapes[self.plan])


@attrs.frozen
class SubmitBytes:
    """Submit bytes that are no plan, under an id that is not used otherwise."""

    plan: bytes

    def play(self, player: Player) -> None:
        player.session.submit_bytes(player.query_id(900), self.plan)


@attrs.frozen
class Malformed:
    """Submit a sound plan under an id that is none."""

    query_id: str

    def play(self, player: Player) -> None:
        player.submitted.add(self.query_id)
        player.session.submit_under(self.query_id, player.shapes["scan"])


@attrs.frozen
class Status:
    query: int

    def play(self, player: Player) -> None:
        player.session.status(player.query_id(self.query))


@attrs.frozen
class Cancel:
    query: int

    def play(self, player: Player) -> None:
        player.cancels += 1
        player.session.cancel(player.query_id(self.query), f"reason {player.cancels}")


@attrs.frozen
class Results:
    query: int

    def play(self, player: Player) -> None:
        player.session.fetch_results(player.query_id(self.query))
