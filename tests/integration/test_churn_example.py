"""examples/churn.py: a real model in SQL and in a plan, against itself over the whole table."""

from __future__ import annotations

import pytest

from examples import churn


async def test_a_model_is_fitted_once_and_answers_as_it_does_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await churn.main()
    assert capsys.readouterr().out.splitlines() == [
        "the model is fitted on known.parquet",
        "2644 of 4118 new customers are likely to leave",
    ]
