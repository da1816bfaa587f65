import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.soak.report import Memory, Promise, Report, flatness, memory_of, none_of
from tests.benchmarks.soak.test_processes import series

GATEWAY = Memory(place="gateway", processes=1, typical=80.0, highest=81.0, slope=0.5, growth=0.002, is_judged=True)
REPORT = Report(
    options={"streams": "8"}, figures={"tokens": 12}, memory=[GATEWAY], promises=[none_of("wrong answers", [])]
)


def test_a_process_that_grows_by_more_than_two_hundredths_breaks_the_promise() -> None:
    leaking = replace(GATEWAY, place="rank 1", growth=0.021)
    assert flatness([GATEWAY, leaking]).evidence == ["rank 1 grew by 2.1%, at most 2% may be"]
    assert not flatness([GATEWAY, leaking]).is_kept
    assert flatness([GATEWAY, replace(leaking, growth=0.02)]).is_kept
    assert flatness([GATEWAY, replace(leaking, growth=-0.5)]).is_kept


def test_a_place_whose_process_was_killed_is_shown_and_not_judged() -> None:
    assert flatness([GATEWAY, replace(GATEWAY, growth=0.5, is_judged=False)]).is_kept
    restarted = series(1 << 20, 1 << 20)
    restarted.add(2, 2, 1 << 21)
    [row] = memory_of({"rank 0": restarted})
    assert (row.processes, row.typical, row.highest, row.is_judged) == (2, 2.0, 2.0, False)


def test_one_broken_promise_is_enough() -> None:
    broken = none_of("wrong answers", ["one", "two"])
    assert broken == Promise(name="wrong answers", is_kept=False, found="2", evidence=["one", "two"])
    assert REPORT.is_good
    assert not replace(REPORT, promises=[*REPORT.promises, broken]).is_good


def test_the_file_says_what_was_run_where_and_what_came_of_it(tmp_path: Path) -> None:
    REPORT.write(tmp_path / "soak.json")
    read = json.loads((tmp_path / "soak.json").read_text())
    assert (read["is_good"], read["figures"], read["options"]) == (True, {"tokens": 12}, {"streams": "8"})
    assert read["machine"]["cores"] >= 1


def test_people_see_what_broke() -> None:
    page = io.StringIO()
    replace(REPORT, promises=[none_of("wrong answers", ["question 3: bad"])]).show(Console(file=page, width=100))
    assert "wrong answers: question 3: bad" in page.getvalue()
    assert "NO" in page.getvalue()
