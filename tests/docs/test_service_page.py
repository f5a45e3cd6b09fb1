"""docs/how-to/service.md: its systemd units start what this version of ffq has."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
import typer.core
import typer.main

from ffq.cli.main import app
from tests.docs.blocks import blocks_of
from tests.docs.pages import read

PAGE = "docs/how-to/service.md"
UNITS = {block.title: block.text for block in blocks_of(PAGE) if block.language == "ini"}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_a_command_with_flags_that_it_has(name: str) -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNITS[name])
    _, command, *flags = shlex.split(unit["Service"]["ExecStart"])
    commands = typer.main.get_command(app)
    assert isinstance(commands, typer.core.TyperGroup)
    found = commands.commands[command]
    # Unknown flags, and flags without their value, are refused before a command runs.
    found.make_context(command, flags, resilient_parsing=False)


def test_the_settings_that_it_names_are_ones() -> None:
    known = set(re.findall(r"FFQ_\w+", read("docs/protocol.md")))
    assert set(re.findall(r"FFQ_\w+", read(PAGE))) <= known
