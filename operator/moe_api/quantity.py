"""Kubernetes quantities ("64Gi"), rates ("3.35T" a second) and durations ("10s", "1m30s") as numbers."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from moe_api import rules

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(h|ms|us|m|s))+$"

_FACTORS: dict[str, int] = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001"), "us": Decimal("0.000001")}


def parse_bytes(text: str) -> int:
    """Bytes of a quantity: "64Gi" -> 68719476736. Raises ValueError with value, rule and remedy."""
    if not re.fullmatch(QUANTITY_PATTERN, text, re.ASCII):
        raise ValueError(f"{text!r} {rules.NO_QUANTITY}")
    return int(_number(text))


def format_bytes(value: float) -> str:
    """Bytes for people, in the largest binary unit that leaves at least 1: 68719476736 -> "64 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def parse_seconds(text: str) -> float:
    """Seconds of a duration: "1m30s" -> 90.0. Raises ValueError with value, rule and remedy."""
    if not re.fullmatch(DURATION_PATTERN, text, re.ASCII):
        raise ValueError(f"{text!r} {rules.NO_DURATION}")
    parts = re.findall(r"([0-9.]+)(ms|us|h|m|s)", text)
    return float(sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0)))


def parse_rate(text: str) -> float:
    """Units per second of a rate: "3.35T" -> 3.35e12. Raises ValueError with value, rule and remedy."""
    if not re.fullmatch(QUANTITY_PATTERN, text, re.ASCII):
        raise ValueError(f"{text!r} {rules.NO_RATE}")
    return float(_number(text))


def _number(text: str) -> Decimal:
    number = re.match(r"[0-9.]+", text)
    assert number is not None, "the pattern begins with a digit"
    return Decimal(str(number[0])) * _FACTORS[text[number.end() :]]


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def _quantity(text: str) -> str:
    parse_bytes(text)
    return text


def _duration(text: str) -> str:
    parse_seconds(text)
    return text


Quantity = Annotated[
    str,
    Field(max_length=32, json_schema_extra=rules.text(QUANTITY_PATTERN, rules.NO_QUANTITY)),
    AfterValidator(_quantity),
]
Rate = Annotated[
    str,
    Field(max_length=32, json_schema_extra=rules.text(QUANTITY_PATTERN, rules.NO_RATE)),
    AfterValidator(_rate),
]
Duration = Annotated[
    str,
    Field(max_length=32, json_schema_extra=rules.text(DURATION_PATTERN, rules.NO_DURATION)),
    AfterValidator(_duration),
]
