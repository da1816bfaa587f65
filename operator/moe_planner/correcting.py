"""The configuration block as it is true of a plan: what holds stays as it was written, the rest is what was computed.

A target that cannot be met becomes the one that is: rounded to what the plan reaches.
"""

from math import ceil, floor, log10
from typing import Any

from moe_planner.amounts import decimal
from moe_planner.judging import CHECKS, Found
from moe_planner.planning_file import BLOCKS, PlanFile
from moe_planner.result import Check, Plan
from moe_planner.units import BYTES, read

_DIGITS = 2


def corrected(file: PlanFile, plan: Plan) -> dict[str, Any]:
    """The block with every line of the first three parts, and the targets that were given. Reads as a planning file."""
    found = Found(file=file, plan=plan)
    values: dict[str, Any] = {**found.counts, **{key: _size(found, key) for key in found.sizes}}
    block = {
        part: {key: values[f"{part}.{key}"] for key in keys}
        for part, keys in BLOCKS.items()
        if part != "performance_targets"
    }
    targets = _targets(found)
    return {**block, "performance_targets": targets} if targets else block


def _size(found: Found, key: str) -> str:
    """As it was written where that holds."""
    written, size = found.file.written(key), found.sizes[key]
    if written is not None and read(key, written, BYTES).holds(size):
        return str(written)
    return f"{decimal(size, 'B')} per GPU"


def _targets(found: Found) -> dict[str, Any]:
    """A target of prefill and decode that one of them misses is written for each."""
    lines: dict[str, Any] = {}
    for line in found.file.given:
        part, _, key = line.key.partition(".")
        if part != "performance_targets":
            continue
        checks = found.checks(line.key)
        if all(check.verdict == "holds" for check in checks):
            lines[key] = line.written
            continue
        for check in checks:
            holds = check.verdict == "holds"
            lines[_key_of(check)] = line.written if holds else _reached(check)
    return lines


def _key_of(check: Check) -> str:
    """The line that is about this check alone."""
    return next(key for key, names in CHECKS.items() if names == (check.name,))


def _reached(check: Check) -> str:
    if check.name in _LEAST:
        value = _rounded(check.value, up=False)
        return f">= {value * 100:g}%" if check.unit == "share" else f">= {value / 1000:g} tokens/ms per GPU"
    value = _rounded(check.value, up=True)
    return f"<= {value * 100:g}% of VRAM" if check.unit == "share" else f"<= {value:g}s"


def _rounded(value: float, *, up: bool) -> float:
    """To two digits, away from what would not hold."""
    if not value:
        return 0.0
    unit = 10.0 ** (floor(log10(value)) + 1 - _DIGITS)
    digits = ceil(value / unit) if up else floor(value / unit)
    return float(f"{digits * unit:.{_DIGITS}g}")


_LEAST = frozenset(name for key in ("throughput", "mfu") for name in CHECKS[key])
