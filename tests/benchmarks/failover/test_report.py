from pathlib import Path

import pytest

from benchmarks.failover.journal import Journal
from benchmarks.failover.report import write_report

PHASES = {"detect": 0.1, "decide": 0.1, "load": 0.1, "resume": 0.1}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    found = Journal(tmp_path / "journal.jsonl")
    found.add("run", machine={"cpu": "some"}, options={"kills": "2"})
    return found


def test_a_run_in_which_nothing_was_measured_says_so(journal: Journal, tmp_path: Path) -> None:
    assert "not measured" in write_report(journal, tmp_path).read_text()
    assert list(tmp_path.glob("*.svg")) == []


def test_each_load_has_its_kills_and_its_undisturbed_wait(journal: Journal, tmp_path: Path) -> None:
    for streams, prefix, wait in ((16, "", 0.5), (2, "light-", 0.25)):
        calm = {"seconds": 10.0, "tokens": 100, "between": [0.1], "longest": [0.125], "cpu": {"rank": 2.0}}
        journal.add("calm", part=f"{prefix}calm", streams=streams, **calm)
        kill = {"own": [wait], "others": [0.125], "phases": PHASES, "bins": [1] * 28}
        journal.add("kill", part=f"{prefix}exit", streams=streams, **kill)
    text = write_report(journal, tmp_path).read_text()
    assert "| 16 | exit | 1 | 500 ms (500 to 500) | 125 ms (125 to 125) | 125 ms |" in text
    assert "| 2 | exit | 1 | 250 ms (250 to 250) | 125 ms (125 to 125) | 125 ms |" in text
    assert "| 2 | nothing | - | 125 ms (125 to 125) | 125 ms (125 to 125) | - |" in text
    assert "| 16 | exit | 100 ms (100 to 100) | 100 ms (100 to 100) |" in text
    assert {path.name for path in tmp_path.glob("*.svg")} == {"stalls.svg", "phases.svg", "rate.svg"}


def test_a_part_that_broke_is_told(journal: Journal, tmp_path: Path) -> None:
    journal.add("broken", part="planned", error="ValueError: some")
    assert "* part planned broke: ValueError: some" in write_report(journal, tmp_path).read_text()
