"""`--loads`: uniform, zipf, zipf:1.2, or a file of measured counts -> the planner's Loads."""

from typing import Any

from moe_kubectl.errors import CommandError
from moe_kubectl.files import read_documents
from moe_planner.inputs import Loads

_FORM = "a list of layers, each a list of its experts' counts, or a mapping with such a list under counts"
_MOST_COUNT = 1e18


def read_loads(written: str) -> Loads:
    """Raises CommandError for what is neither a law nor a file of counts."""
    law, _, exponent = written.partition(":")
    if law == "uniform" and not exponent:
        return Loads()
    if law == "zipf":
        return Loads(kind="zipf", zipf_exponent=_exponent(written, exponent))
    documents = read_documents(written)
    values: Any = documents[0] if len(documents) == 1 else None
    counts = values.get("counts") if isinstance(values, dict) else values
    if not isinstance(counts, list) or not counts:
        raise CommandError(f"{written} has no counts; write {_FORM}")
    return Loads(kind="measured", counts=tuple(_row(written, row) for row in counts), source=written)


def _exponent(written: str, text: str) -> float:
    try:
        exponent = float(text) if text else 1.0
    except ValueError:
        exponent = -1.0
    if not 0 <= exponent <= 10:
        raise CommandError(
            f"--loads {written}: the exponent of zipf must be a number from 0 to 10; write e.g. zipf:1.2"
        )
    return exponent


def _row(file: str, row: object) -> tuple[float, ...]:
    if not isinstance(row, list):
        raise CommandError(f"{file} has a layer that is no list of counts; write {_FORM}")
    for count in row:
        if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= _MOST_COUNT:
            raise CommandError(f"{file} has the count {str(count)[:40]}; a count is a number of 0 or more")
    return tuple(float(count) for count in row)
