"""Points in time as people and programs write them into objects: "2026-01-31T08:00:00Z"."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from moe_api import rules

PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"


def parse_moment(text: str) -> datetime:
    """The point in time, with its zone. Raises ValueError with value, rule and remedy."""
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise ValueError(f"{text!r} {rules.NO_MOMENT}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {rules.NO_MOMENT} ({error})") from error


def moment_of(text: str) -> datetime | None:
    """The same where nobody is to blame for what is no point in time: None then."""
    try:
        return parse_moment(text)
    except ValueError:
        return None


def _moment(text: str) -> str:
    parse_moment(text)
    return text


Moment = Annotated[
    str,
    Field(max_length=64, json_schema_extra=rules.text(PATTERN, rules.NO_MOMENT)),
    AfterValidator(_moment),
]
