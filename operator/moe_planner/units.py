"""What people write for a size, a time, a rate or a share ("64GiB", "10s", "> 100 tokens/ms", "< 2%") -> numbers.

Knows units and relations, not what a field is for. Everything else is a PlanError with an example.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from moe_planner.errors import PlanError
from moe_planner.limits import MOST_BYTES, MOST_RATE, MOST_SECONDS, shown

Relation = Literal["", "<", "<=", ">", ">="]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number in its kind's base unit, and the relation written before it. `rounding`: half of its last digit."""

    value: float
    relation: Relation = ""
    rounding: float = 0.0

    def holds(self, found: float) -> bool:
        """Whether a number keeps the relation; one without allows as much as rounds to what was written."""
        if self.relation in (">", ">="):
            return found > self.value if self.relation == ">" else found >= self.value
        if self.relation:
            return found < self.value if self.relation == "<" else found <= self.value
        return found <= self.value + self.rounding


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A dimension: what a unit is worth in the `base` unit ("" is a bare number), and the most that is taken."""

    name: str
    example: str
    base: str
    units: Mapping[str, float]
    most: float
    ignores_case: bool = False


def read(field: str, value: object, kind: Kind) -> Measure:
    """The measure that the value states. Raises PlanError for the field where it states none, or an absurd one."""
    written = _written(value)
    unit = "" if written is None else written.unit.lower() if kind.ignores_case else written.unit
    if written is None or unit not in kind.units:
        raise PlanError(field, shown(value), f"must be {kind.name}", f"write it like {kind.example}")
    factor = Decimal(repr(kind.units[unit]))  # 5 us are 5e-06 s, which they are not as a product of floats
    found = float(written.number * factor)
    if not 0 <= found <= kind.most:
        raise PlanError(field, shown(value), f"must be at most {kind.most:g} {kind.base}", "write the true value")
    return Measure(value=found, relation=written.relation, rounding=float(written.rounding * factor))


def number(field: str, value: object, kind: Kind) -> float:
    """As `read`, of a value that must be more than 0 and carries no relation."""
    found = read(field, value, kind)
    if found.relation or not found.value > 0:
        raise PlanError(field, shown(value), f"must be {kind.name}, more than 0", f"write it like {kind.example}")
    return found.value


_PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {f"{prefix}i": 1024.0**power for power, prefix in enumerate(("K", "M", "G", "T", "P", "E"), start=1)}
_ALL_PREFIXES = {**_PREFIXES, **_BINARY}
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "min": 60.0, "m": 60.0, "h": 3600.0}

BYTES = Kind(
    name="a size in bytes",
    example="64GiB or 80GB",
    base="bytes",
    units={**_ALL_PREFIXES, **{f"{prefix}B": factor for prefix, factor in _ALL_PREFIXES.items()}},
    most=MOST_BYTES,
)
SECONDS = Kind(name="a time", example="10s or 20ms", base="s", units={"": 1.0, **_TIMES}, most=MOST_SECONDS)
SHARE = Kind(name="a share", example="2% or 0.02", base="of all", units={"": 1.0, "%": 0.01}, most=1.0)
TOKENS_PER_SECOND = Kind(
    name="a rate of tokens",
    example="100 tokens/ms",
    base="tokens/s",
    units={
        f"{prefix}{noun}/{time}": factor / seconds
        for prefix, factor in (("", 1.0), ("k", 1e3), ("M", 1e6))
        for noun in ("tokens", "token", "tok")
        for time, seconds in _TIMES.items()
    },
    most=MOST_RATE,
)
FLOPS = Kind(
    name="a rate of floating-point operations",
    example="400 TFLOP/s",
    base="FLOP/s",
    units={
        f"{prefix.lower()}{noun}": factor
        for prefix, factor in _PREFIXES.items()
        for noun in ("flop/s", "flops", "flops/s", "flopps")
    },
    most=MOST_RATE,
    ignores_case=True,
)
BYTES_PER_SECOND = Kind(
    name="a bandwidth",
    example="1.8 TB/s or 400 Gbit/s",
    base="bytes/s",
    units={
        f"{prefix}{noun}": factor * share
        for prefix, factor in _ALL_PREFIXES.items()
        for noun, share in (("B/s", 1.0), ("Bps", 1.0), ("bit/s", 1 / 8), ("bps", 1 / 8), ("b/s", 1 / 8))
    },
    most=MOST_RATE,
)

_MOST_CHARACTERS = 80
_WRITTEN = re.compile(
    r"(?P<relation><=|>=|<|>|≤|≥)?(?P<number>[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?)"
    r"(?P<unit>[^\d<>]*)"
)
_RELATIONS: Mapping[str, Relation] = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "≤": "<=", "≥": ">="}
# Words that say of what a number is; the document writes them, and they change no number.
_OF_WHAT = re.compile(r"\s*(per GPU|/GPU|of VRAM|of memory)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What was written, in its own unit."""

    number: Decimal
    unit: str = ""
    relation: Relation = ""
    rounding: Decimal = Decimal(0)


def _written(value: object) -> _Written | None:
    """None where it cannot be a measure of any kind."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_sane = 0 <= value <= MOST_RATE  # not-a-number is not, either
        return _Written(number=Decimal(repr(value))) if is_sane else None
    if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
        return None
    found = _WRITTEN.fullmatch(re.sub(r"\s+", "", _OF_WHAT.sub("", value.strip())))
    if found is None:
        return None
    digits = found["number"].replace(",", "")
    is_plain = "e" not in digits.lower()
    return _Written(
        number=Decimal(digits),
        unit=found["unit"],
        relation=_RELATIONS.get(found["relation"] or "", ""),
        rounding=Decimal(5).scaleb(-1 - len(digits.partition(".")[2])) if is_plain else Decimal(0),
    )
