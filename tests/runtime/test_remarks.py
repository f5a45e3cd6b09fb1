"""A log call of ours never raises, and its record is as any other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from ffq.runtime.remarks import RemarkLogger


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("handler")


def raising(record: logging.LogRecord) -> bool:
    raise RuntimeError("filter")


@pytest.fixture
def inner() -> Iterator[logging.Logger]:
    inner = logging.getLogger("ffq.test-logs")
    yield inner
    inner.handlers.clear()
    inner.filters.clear()


@pytest.mark.parametrize(
    "break_it",
    [
        lambda logger: logger.addHandler(Raising()),
        lambda logger: logger.addFilter(raising),
    ],
    ids=["handler", "filter"],
)
def test_a_handler_or_filter_that_raises_is_not_heard_of(
    inner: logging.Logger, break_it: Callable[[logging.Logger], None]
) -> None:
    break_it(inner)
    with pytest.raises(RuntimeError):
        inner.warning("as others log")
    logger = RemarkLogger(inner)
    logger.warning("a remark")
    logger.error("another", exc_info=ValueError("x"))
    try:
        int("x")
    except ValueError:
        logger.exception("a third")


def test_a_record_names_the_line_of_the_call(
    inner: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger = RemarkLogger(inner)
    caplog.set_level(logging.INFO, inner.name)
    logger.debug("below the level")
    logger.info("%s of %d", "one", 2)
    logger.log(logging.ERROR, "by number")
    error = ValueError("x")
    logger.warning("with its cause", exc_info=error)
    first, second, third = caplog.records
    assert (first.getMessage(), first.name) == ("one of 2", inner.name)
    assert {(each.pathname, each.funcName) for each in (first, third)} == {
        (__file__, "test_a_record_names_the_line_of_the_call")
    }
    assert second.levelno == logging.ERROR
    assert third.exc_info is not None
    assert third.exc_info[1] is error
