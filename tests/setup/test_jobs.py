import sys
import time
from pathlib import Path

import pytest

from setup.errors import SetupError
from setup.jobs import Job, run_all


def python(name: str, code: str) -> Job:
    return Job(name, [sys.executable, "-c", code], {})


def test_jobs_run_beside_each_other_and_say_when_they_are_done(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    run_all([python("one", "import time; time.sleep(0.5)"), python("two", "import time; time.sleep(0.5)")], began=began)
    assert "one: done" in (told := capsys.readouterr().err)
    assert "two: done" in told


def test_a_failure_tells_its_last_lines_and_leaves_nothing_running() -> None:
    sleeper = python("sleeper", "import time; time.sleep(600)")
    failing = python("failing", "import sys; print('no space left'); sys.exit(3)")
    with pytest.raises(SetupError, match=r"failing failed \(exit 3\)(.|\n)*no space left"):
        run_all([sleeper, failing], began=time.monotonic())
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(b"time.sleep(600)" in command for command in commands)
