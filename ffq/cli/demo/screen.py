"""What the demo shows: a story on stdout, what its processes log on stderr."""

from __future__ import annotations

import attrs
from rich.console import Console

from ffq.cli.output.consoles import stderr_console, stdout_console
from ffq.display.grid import Grid, print_grid


@attrs.define
class Screen:
    """Args: verbose: also what the processes log."""

    verbose: bool
    out: Console = attrs.field(factory=stdout_console)
    err: Console = attrs.field(factory=stderr_console)

    def heading(self, text: str) -> None:
        self.out.print()
        self._line(text, "bold cyan")

    def say(self, text: str) -> None:
        self._line(text, "")

    def good(self, text: str) -> None:
        self._line(text, "bold green")

    def bad(self, text: str) -> None:
        self._line(text, "bold red")

    def grid(self, grid: Grid) -> None:
        print_grid(self.out, grid)

    def child_line(self, name: str, line: str) -> None:
        """A line that one of the processes logged."""
        if self.verbose:
            self.err.print(f"[{name}] {line}", style="dim", markup=False, soft_wrap=True)

    def _line(self, text: str, style: str) -> None:
        self.out.print(text, style=style, markup=False, soft_wrap=True)
