import pytest

from benchmarks.soak.__main__ import parse


def test_the_promise_of_the_issue_is_what_runs_unless_told_otherwise() -> None:
    options = parse([])
    assert (options.streams, options.seconds, options.kill_every) == (200, 300, 15)


@pytest.mark.parametrize(
    ("flag", "value", "remedy"),
    [("--kill-every", "3", "at least 10, or 0 for no kills"), ("--streams", "0", "at least 1")],
)
def test_what_could_show_nothing_is_refused(
    flag: str, value: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse([flag, value])
    said = capsys.readouterr().err
    assert f"{flag} {value}: " in said
    assert remedy in said
