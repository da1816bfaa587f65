from pathlib import Path

import pytest

from benchmarks.failover.journal import Journal
from benchmarks.failover.rows import rows

PHASES = {"detect": 0.1, "decide": 0.1, "load": 0.1, "resume": 0.1}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def add_kill(journal: Journal, part: str, own: float, others: float, streams: int = 4) -> None:
    journal.add("kill", part=part, streams=streams, own=[own], others=[others], phases=PHASES, bins=[1] * 28)


def add_calm(journal: Journal, streams: int = 4) -> None:
    journal.add(
        "calm",
        part="calm",
        streams=streams,
        seconds=10.0,
        tokens=100,
        between=[0.1, 0.1, 0.3],
        longest=[0.3],
        cpu={"rank": 2.0},
    )


def test_nothing_measured_keeps_nothing(journal: Journal) -> None:
    assert {row.verdict for row in rows(journal)} == {"not measured"}


def test_a_stall_is_judged_by_its_median_and_by_its_worst(journal: Journal) -> None:
    add_kill(journal, "exit", 0.4, 0.2)
    add_kill(journal, "device", 0.45, 0.2)
    own = rows(journal)[0]
    assert (own.found, own.verdict) == ("425 ms (400 to 450)", "yes")

    add_kill(journal, "exit", 1.6, 0.2)
    assert rows(journal)[0].verdict == "NO"


def test_each_load_is_told_apart_beside_its_own_undisturbed_wait(journal: Journal) -> None:
    add_calm(journal, streams=16)
    add_kill(journal, "exit", 3.0, 1.0, streams=16)
    add_kill(journal, "light-exit", 0.3, 0.2, streams=2)
    stalls = [row for row in rows(journal) if "dead rank's lane" in row.what]
    assert [(row.found, row.calm, row.verdict) for row in stalls] == [
        ("3000 ms (3000 to 3000)", "300 ms (300 to 300)", "NO"),
        ("300 ms (300 to 300)", "-", "yes"),
    ]


def test_a_group_restart_is_counted_in_stalls_of_ours(journal: Journal) -> None:
    add_kill(journal, "exit", 0.5, 0.2)
    journal.add("group", mode="warm", streams=4, waits=[20.0, 30.0, 10.0], failed=["a"])
    warm = next(row for row in rows(journal) if "group restart, warm" in row.what)
    assert (warm.found, warm.verdict) == ("20000 ms (10000 to 30000): 40 x; 1 failed", "yes")


def test_lost_throughput_is_what_calm_streams_had_more(journal: Journal) -> None:
    add_calm(journal)
    journal.add("under", part="exit", streams=4, kills=2, seconds=16.0, tokens=120)
    lost = next(row for row in rows(journal) if "throughput" in row.what)
    assert (lost.found, lost.calm, lost.verdict) == (
        "20.0% (7.5 tokens/s with a kill every 8.0 s)",
        "10.0 tokens/s",
        "NO",
    )


def test_a_planned_move_is_held_against_twice_the_calm_median(journal: Journal) -> None:
    add_calm(journal)
    journal.add("planned", what="evacuate", streams=4, took=3.0, between=[0.1, 0.19])
    moved = next(row for row in rows(journal) if "emptied" in row.what)
    assert (moved.found, moved.calm, moved.verdict) == (
        "0.0% of 2 above 200 ms, worst 190 ms",
        "33.3% above, worst 300 ms",
        "yes",
    )


def test_bookkeeping_is_told_with_its_error_and_what_goes_by_the_clock(journal: Journal) -> None:
    journal.add("bookkeeping", share=0.01, by_clock=0.004, samples=10000)
    found = next(row for row in rows(journal) if "bookkeeping" in row.what)
    assert (found.found, found.verdict) == ("1.0% ± 0.1%, 0.4% of it by the clock (10000 samples)", "yes")


def test_one_wrong_token_breaks_the_promise(journal: Journal) -> None:
    journal.add("streams", part="exit", begun=9, ended=8, failed=[], wrong=["exit-1: wrong"])
    assert rows(journal)[-1].verdict == "NO"


def test_a_torn_last_line_is_left_out(journal: Journal, tmp_path: Path) -> None:
    journal.add("calm", seconds=1.0)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"kind": "calm", "sec')
    assert journal.read("calm") == [{"kind": "calm", "seconds": 1.0}]
