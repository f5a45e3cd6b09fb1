"""NAME=VALUE of the command line."""

from __future__ import annotations

import pytest

from ffq.cli.arguments import parameter_values, table_paths


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ("it's", "it's"),
        ("[1]", "[1]"),
        ("a=b", "a=b"),
        ("", ""),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_a_parameter_is_what_json_has_or_a_text(text: str, value: object) -> None:
    (found,) = parameter_values([f"$x={text}"]).values()
    assert (type(found), found) == (type(value), value)


def test_bytes_that_the_locale_does_not_know_are_utf8() -> None:
    sent = "é=中".encode().decode("ascii", "surrogateescape")
    assert table_paths([sent]) == {"é": "中"}
