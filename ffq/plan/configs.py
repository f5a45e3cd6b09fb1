"""An operator's config on the wire: texts by key, whatever a program gave for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ffq.errors import InvalidRequest, words

ConfigValue: TypeAlias = (
    "str | bool | int | float | Sequence[ConfigValue] | Mapping[str, ConfigValue] | None"
)


def config_pairs(name: str, config: Mapping[str, ConfigValue]) -> tuple[tuple[str, str], ...]:
    """What a Custom node holds: a text as it is, anything else as JSON.

    The operator reads it by the types it declares. A text stays bare, so that a plan of another
    implementation and one of ours say the same.

    Args:
        name: the operator's, for errors.

    Raises:
        InvalidRequest: a value that JSON has not; names operator and key.
    """
    return tuple(sorted((key, _text(name, key, value)) for key, value in config.items()))


def _text(name: str, key: str, value: ConfigValue) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"operator {name!r}: config {key!r} is {words(value, 80)}, which JSON has not; right "
            f"would be a text, a number, a bool, None, or a list or dict of these"
        ) from error
