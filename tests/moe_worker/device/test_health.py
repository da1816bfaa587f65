import os
import subprocess
import sys
from pathlib import Path

import pytest

from moe_worker.device.base import DeviceError
from moe_worker.device.health import HealthFile

LOCKER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "gpu0").write_text("healthy\n")
    return tmp_path / "gpu0"


def can_lock(file: Path) -> bool:
    """Asked of another process, because a process never conflicts with itself."""
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-S", "-c", code, file], capture_output=True, check=False).returncode == 0


def test_a_healthy_device_is_locked_while_it_is_open(file: Path) -> None:
    health = HealthFile(file)
    health.open()
    health.check()
    assert not can_lock(file)
    health.close()
    assert can_lock(file)


def test_a_failed_device_cannot_be_opened(file: Path) -> None:
    file.write_text("failed: XID 79\n")
    with pytest.raises(DeviceError, match=r"^XID 79$"):
        HealthFile(file).open()
    assert can_lock(file)


def test_a_missing_file_is_a_device_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be opened: No such file"):
        HealthFile(tmp_path / "none").open()


def test_a_failure_is_seen_at_the_next_check_that_is_due(file: Path) -> None:
    health = HealthFile(file, clock := Clock())
    health.open()
    health.check()
    file.write_text("failed: fell off the bus")
    clock.now = 0.05
    health.check()
    clock.now = 0.1
    with pytest.raises(DeviceError, match="fell off the bus"):
        health.check()


def test_a_file_that_is_being_written_is_no_failure(file: Path) -> None:
    health = HealthFile(file, clock := Clock())
    health.open()
    file.write_text("")
    clock.now = 1.0
    health.check()


def test_a_file_that_was_replaced_is_locked_again(file: Path) -> None:
    health = HealthFile(file, clock := Clock())
    health.open()
    for text in ("healthy", "failed: gone"):
        (file.parent / "new").write_text(text)
        os.replace(file.parent / "new", file)
        clock.now += 1.0
        if text == "healthy":
            health.check()
            assert not can_lock(file)
    with pytest.raises(DeviceError, match="gone"):
        health.check()


def test_a_device_that_another_process_drives_is_refused_with_its_pid(file: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", LOCKER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(DeviceError, match=rf"pid {other.pid}\)"):
            HealthFile(file).open()
        other.kill()


def test_a_slow_device_works_and_says_how_slow_it_is_until_it_is_well(file: Path) -> None:
    clock = Clock()
    health = HealthFile(file, clock)
    health.open()
    assert health.slowness == 1.0
    for now, text, slowness in ((1.0, "slow: 8\n", 8.0), (2.0, "slow: 0.5", 1.0), (3.0, "healthy\n", 1.0)):
        file.write_text(text)
        clock.now = now
        health.check()
        assert health.slowness == slowness
    file.write_text("slow: very")
    clock.now = 4.0
    with pytest.raises(DeviceError, match="slow: very"):
        health.check()
