from pathlib import Path

import pytest

from benchmarks.failover.costs import costs
from benchmarks.failover.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def half(*rows: float) -> dict[str, object]:
    ranks = [{"rank": rank, "stage": "a", "rows": one, "passes": one, "seconds": one} for rank, one in enumerate(rows)]
    return {"seconds": 10.0, "tokens": 100, "ranks": ranks}


def test_a_spare_copy_shows_in_the_work_of_the_busiest_rank(journal: Journal) -> None:
    journal.add("rebalance", spare=1, stages=1, made=1, took=3.0, before=half(300, 100), after=half(200, 200))
    text = "\n".join(costs(journal))
    assert "| rows a token of the busiest rank of all | 3.00 | 2.00 |" in text
    assert "| a stage's busiest rank over its mean, rows, median stage | 1.50 | 1.00 |" in text


def test_copies_that_were_late_are_not_called_a_gain(journal: Journal) -> None:
    journal.add("rebalance", spare=1, stages=1, made=1, took=None, before=half(300, 100), after=half(200, 200))
    assert "not at rest in time" in "\n".join(costs(journal))


def test_cpu_time_is_told_by_token_and_role(journal: Journal) -> None:
    journal.add(
        "calm", part="calm", streams=4, seconds=10.0, tokens=100, between=[0.1], cpu={"rank": 3.0, "nodes": 1.0}
    )
    text = costs(journal)[0]
    assert "10.0 tokens/s, 100 ms between two tokens" in text
    assert "| rank | 30.00 | 75.0% |" in text
