"""docs/protocol.md is true: it names every setting of the coordinator and every reason of an error.

Its rules are checked by scripts/rule_tests.py, its services by tests/proto/test_rows.py.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import attrs
import grpc
import pytest

from ffq import errors
from ffq.cli.commands.gateway import gateway
from ffq.core.settings import CoordinatorSettings
from ffq.errors import FfqError
from ffq.rpc.status import CODES, RUNTIME_CODES
from tests.docs import pages

PAGE = "docs/protocol.md"
FIELDS = {field.name: field for field in attrs.fields(CoordinatorSettings)}
FLAGS = FIELDS.keys() & inspect.signature(gateway).parameters.keys()
UNITS = {"": 1, "MiB": 1024 * 1024}
LOCAL = {errors.StartupError.reason, errors.WorkerSuperseded.reason}
"""Reasons that no status carries."""


# --- settings --------------------------------------------------------------------------------


def told_settings(text: str) -> dict[str, int]:
    """The coordinator's settings of some tables, by field, with the defaults told there."""
    found = re.findall(r"^\| .* \| `FFQ_(\w+)` \| (\d+) ?(\w*) \|$", text, re.MULTILINE)
    return {
        variable.lower(): int(number) * UNITS[unit]
        for variable, number, unit in found
        if variable.lower() in FIELDS
    }


def test_it_names_every_setting_of_the_coordinator_with_its_default() -> None:
    told = told_settings(pages.section(PAGE, "## Settings"))
    assert told == {name: field.default for name, field in FIELDS.items()}


def test_it_says_which_settings_have_no_flag() -> None:
    with_flag, _, without = pages.section(PAGE, "## Settings").partition("variables only")
    assert told_settings(with_flag).keys() == FLAGS
    assert told_settings(without).keys() == FIELDS.keys() - FLAGS


# --- errors ----------------------------------------------------------------------------------


def every_class() -> Iterator[type[FfqError]]:
    todo = [FfqError]
    while todo:
        kind = todo.pop()
        yield kind
        todo += kind.__subclasses__()


def finer_reasons() -> Iterator[tuple[type[FfqError], str]]:
    """The reasons that single errors are raised with: `UnknownId(..., reason="EXPIRED")`."""
    for path in (pages.ROOT / "ffq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), keywords=keywords):
                    kind = vars(errors).get(name)
                    for each in keywords:
                        if each.arg == "reason" and isinstance(each.value, ast.Constant) and kind:
                            yield kind, str(each.value.value)


def code_of(kind: type[FfqError]) -> grpc.StatusCode:
    codes = CODES | RUNTIME_CODES
    return next((codes[each] for each in kind.__mro__ if each in codes), grpc.StatusCode.INTERNAL)


def table_of_statuses() -> dict[str, list[str]]:
    """The cells of the table's rows, by status."""
    text = pages.section(PAGE, "## Errors")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {code: row for row in rows if len(row) == 4 for code in row[0].split(", ")}


def test_it_names_every_reason_there_is_and_no_other() -> None:
    told = {
        reason
        for status, row in table_of_statuses().items()
        if status != "gRPC status"
        for reason in row[3].split(", ")
    }
    known = {kind.reason for kind in every_class()} | {reason for _, reason in finer_reasons()}
    assert told == known - LOCAL | {"PERMISSION_DENIED"}
    assert set(re.findall(r"\w+", pages.section(PAGE, "## Errors"))) > LOCAL


def test_it_names_every_status_that_an_error_travels_as() -> None:
    told = table_of_statuses().keys() - {"gRPC status", "PERMISSION_DENIED"}
    assert told == {code.name for code in (CODES | RUNTIME_CODES).values()}


@pytest.mark.parametrize("kind", [*CODES, *RUNTIME_CODES], ids=lambda kind: kind.__name__)
def test_a_class_s_reason_stands_in_the_row_of_its_status(kind: type[FfqError]) -> None:
    assert kind.reason in table_of_statuses()[code_of(kind).name][3].split(", ")


def test_finer_reasons_stand_in_the_row_of_their_status_and_are_explained() -> None:
    explained = pages.section(PAGE, "## Errors").partition("| reason | says |")[2]
    found = set(finer_reasons())
    assert {reason for _, reason in found} > {"EXPIRED", "OUTPUT_LOST"}
    for kind, reason in found:
        assert reason in table_of_statuses()[code_of(kind).name][3].split(", ")
        assert re.search(rf"^\| .*\b{reason}\b.* \|", explained, re.MULTILINE), reason
