from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.measurements import TERMS, TOTALS, Measured, read_measured
from moe_planner.timing import predict
from tests.moe_planner.document import DEGREES, problem


def test_the_documented_format_is_read() -> None:
    values = [
        {"name": "Decode step", "value": 4.1, "unit": "ms", "conditions": {"batch_size": 64, "sequence_length": 4096}},
        {"name": "Prefill throughput per GPU", "value": 100, "unit": "tokens/ms"},
        {"name": "decode experts", "value": 900, "unit": "us"},
    ]
    assert read_measured(values) == (
        Measured(name="Decode step", value=0.0041, batch_size=64, sequence_length=4096),
        Measured(name="Prefill throughput per GPU", value=100_000.0),
        Measured(name="decode experts", value=0.0009),
    )


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ("Decode step", "measured"),
        ([], "measured"),
        ({"name": "Decode step"}, "measured"),
        ([7], "measured[0]"),
        ([{"name": "Decode steps", "value": 1, "unit": "ms"}], "measured[0].name"),
        ([{"name": "Decode step", "value": 1, "unit": "tokens/s"}], "measured[0].value"),
        ([{"name": "Decode step", "value": 0, "unit": "ms"}], "measured[0].value"),
        ([{"name": "Decode step", "value": -1, "unit": "ms"}], "measured[0].value"),
        ([{"name": "Decode step", "unit": "ms"}], "measured[0].value"),
        ([{"name": "Decode step", "value": 1, "units": "ms"}], "measured[0].units"),
        (
            [{"name": "Decode step", "value": 1, "unit": "s", "conditions": {"batch": 1}}],
            "measured[0].conditions.batch",
        ),
        (
            [{"name": "Decode step", "value": 1, "unit": "s", "conditions": {"batch_size": 0}}],
            "measured[0].conditions.batch_size",
        ),
    ],
)
def test_what_is_no_measured_line_is_refused_by_its_place(values: object, field: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_measured(values)
    assert caught.value.field == field


def test_every_part_of_a_predicted_time_can_be_measured() -> None:
    times = predict(problem(), DEGREES, 1)
    assert times is not None
    parts = (times.prefill.compute, times.prefill.reads, times.prefill.transfers, times.prefill.latency)
    assert {term.name for term in (*parts, *times.decode.terms)} <= set(TERMS)
    assert len({*TERMS, *TOTALS}) == len(TERMS) + len(TOTALS)
