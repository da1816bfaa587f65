from __future__ import annotations

import pytest
from pydantic import ValidationError

from moe_api.drill import CanaryReport


def test_a_gateways_words_arrive_as_they_were_said() -> None:
    said = CanaryReport(name="2026-01-31T08:00:00Z", is_ready=True, stall_ms=320, failed=1, reason="503")

    assert CanaryReport.from_json(said.to_json()) == said


def test_a_workers_report_is_no_gateways() -> None:
    with pytest.raises(ValidationError):
        CanaryReport.from_json('{"epoch": 3, "seats": []}')
