import os
from pathlib import Path

from benchmarks.chaos.memory import Moment, Size, private_mib, sizes_of
from benchmarks.chaos.report import Outcome
from benchmarks.soak.report import none_of


def moment(strikes: int, mean: float) -> Moment:
    sizes = {"gateway": Size(processes=1, mean=mean, largest=mean)}
    return Moment(strikes=strikes, minutes=strikes / 10, streams=strikes, failed=0, tokens=7 * strikes, sizes=sizes)


def outcome(*failed: str) -> Outcome:
    return Outcome(
        seed=3,
        struck={"exit": 15, "power": 5},
        refused={"pod": 1},
        moments=[moment(0, 90.0), moment(10, 95.5), moment(20, 91.0)],
        longest_wait=4.74,
        promises=[none_of("failed requests", failed)],
    )


def test_the_report_says_seed_strikes_promises_and_memory_first_and_last(tmp_path: Path) -> None:
    outcome().write(tmp_path / "chaos.md")
    lines = (tmp_path / "chaos.md").read_text().splitlines()
    assert lines[2].startswith("Seed 3, ")
    assert "20 random failures in 2 minutes, one each 6.0 s, under 20 streams with 140 tokens." in lines[2]
    assert "was 4.7 s." in lines[2]
    for row in (
        "| failed requests | 0 | yes |",
        "| exit | 15 | 0 |",
        "| pod | 0 | 1 |",
        "| gateway | 1 x 90.0 | 1 x 91.0 | 95.5 |",
        "| 10 | 1.0 | 10 | 0 | 70 | 95.5 |",
    ):
        assert row in lines


def test_a_broken_promise_is_told_with_what_broke_it(tmp_path: Path) -> None:
    broken = outcome("chaos-4: gone")
    broken.write(tmp_path / "chaos.md")
    text = (tmp_path / "chaos.md").read_text()
    assert "| failed requests | 1 | NO |" in text
    assert "* failed requests: chaos-4: gone" in text
    assert not broken.is_good
    assert outcome().is_good


def test_sizes_are_by_role_in_the_order_asked_for_and_without_roles_that_nobody_has() -> None:
    found = sizes_of({os.getpid(): "rank", os.getppid(): "nodes", -1: "gateway"}, ("nodes", "gateway", "rank"))
    assert list(found) == ["nodes", "rank"]
    assert found["rank"].processes == 1
    assert found["rank"].mean == found["rank"].largest > 10


def test_only_a_processs_own_pages_count_as_its_memory() -> None:
    before = private_mib(os.getpid())
    kept = b"x" * (32 << 20)
    assert 31 < private_mib(os.getpid()) - before < 40, len(kept)
    assert private_mib(-1) == 0.0
