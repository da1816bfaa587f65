"""Measured lines, as `--measured` takes them and the workers will write them: the format, and its reader.

A JSON list; each item names a line of the verification or a part of a predicted time, and what was measured:

    [{"name": "Decode step", "value": 4.1, "unit": "ms", "conditions": {"batch_size": 64, "sequence_length": 4096}},
     {"name": "decode experts", "value": 0.9, "unit": "ms"}]

`unit` is one of s, ms, us for times, and tokens/s or tokens/ms for rates. `conditions` may be left out: the plan's own
batch and longest sequence. Several items of one name are samples of the same line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moe_planner.errors import PlanError
from moe_planner.fields import Fields
from moe_planner.limits import shown
from moe_planner.timing import DECODE_STEP, DECODE_THROUGHPUT, FIRST_TOKEN, PREFILL_THROUGHPUT
from moe_planner.units import SECONDS, TOKENS_PER_SECOND, Kind, number

TERMS = (
    "prefill compute",
    "prefill weight reads",
    "prefill transfers",
    "prefill latency",
    "decode experts",
    "decode attention",
    "decode KV cache",
    "decode all-to-all",
    "decode sums",
    "decode hops",
    "decode output",
)
"""Parts of predicted times, in seconds."""
TOTALS = (FIRST_TOKEN, DECODE_STEP, PREFILL_THROUGHPUT, DECODE_THROUGHPUT)
"""Lines of the verification, in seconds or in tokens per second and GPU."""

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys((*TERMS, FIRST_TOKEN, DECODE_STEP), SECONDS),
    **dict.fromkeys((PREFILL_THROUGHPUT, DECODE_THROUGHPUT), TOKENS_PER_SECOND),
}
_KEYS = ("name", "value", "unit", "conditions")
_MOST_MEASURED = 100_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One sample, in seconds or tokens per second. None: under the plan's own conditions."""

    name: str
    value: float
    batch_size: int | None = None
    sequence_length: int | None = None


def read_measured(values: object) -> tuple[Measured, ...]:
    """The samples of a JSON list. Raises PlanError for the first item that is none."""
    if not isinstance(values, Sequence) or isinstance(values, str) or not 0 < len(values) <= _MOST_MEASURED:
        raise PlanError("measured", shown(values), "must be a list of measured lines", "write one item for each line")
    return tuple(_read(Fields(value, f"measured[{index}]", "see --help")) for index, value in enumerate(values))


def _read(item: Fields) -> Measured:
    item.refuse_others(*_KEYS)
    name = item.text("name")
    kind = _KINDS.get(name)
    if kind is None:
        raise item.error("name", "is no line that is predicted", f"use one of {', '.join(_KINDS)}")
    conditions = item.part("conditions")
    conditions.refuse_others("batch_size", "sequence_length")
    return Measured(
        name=name,
        value=number(item.at("value"), f"{item.value('value')} {item.text('unit')}", kind),
        batch_size=_given(conditions, "batch_size"),
        sequence_length=_given(conditions, "sequence_length"),
    )


def _given(conditions: Fields, key: str) -> int | None:
    return conditions.number(key) if conditions.has(key) else None
