"""A drill is carried out by the pod of its rank, while it lasts, and once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from moe_api.stage import StageDrillSpec
from moe_worker.supervisor.drills import Drills

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def drill(*, name: str = "one", until: str = "2026-01-01T12:00:05Z") -> StageDrillSpec:
    return StageDrillSpec(name=name, rank=3, failure="exit", until=until)


def drills(folder: Path) -> Drills:
    return Drills(folder, lambda: NOON)


def test_each_drill_is_taken_once_also_after_a_restart(tmp_path: Path) -> None:
    first = drills(tmp_path / "state")
    assert first.take(drill(), {3, 4}) == 5.0
    assert first.take(drill(), {3, 4}) is None
    assert drills(tmp_path / "state").take(drill(), {3, 4}) is None
    assert drills(tmp_path / "state").take(drill(name="two"), {3, 4}) == 5.0


def test_a_drill_that_is_over_is_left_out(tmp_path: Path) -> None:
    assert drills(tmp_path).take(drill(until="2026-01-01T12:00:00Z"), {3}) is None


def test_a_drill_of_another_pods_rank_is_left_out(tmp_path: Path) -> None:
    assert drills(tmp_path).take(drill(), {1, 2}) is None


def test_a_drill_that_cannot_be_remembered_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        drills(tmp_path / "file").take(drill(), {3})
