from pathlib import Path

import pytest

from setup import machine
from setup.errors import SetupError

GIB = 1 << 30


def test_a_full_disk_is_told_with_value_rule_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"has 1\.0 GiB free; 15\.0 GiB are needed.*Free some") as refused:
        machine.check_disk(
            tmp_path, tmp_path / "cache", has_environment=False, has_control_plane=False, free=lambda _: GIB
        )
    assert "XDG_CACHE_HOME" in str(refused.value)


def test_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    machine.check_disk(tmp_path, tmp_path / "cache", has_environment=True, has_control_plane=True, free=lambda _: GIB)


def test_little_memory_is_told_with_value_rule_and_remedy() -> None:
    with pytest.raises(SetupError, match=r"4\.0 GiB of memory are available; make demo needs 7 GiB.*make e2e-small"):
        machine.check_memory("demo", 4 * GIB)


def test_this_machine_s_memory_and_disk_are_read(tmp_path: Path) -> None:
    assert 0 < machine.available_memory() < 1 << 50
    assert machine.free_bytes(tmp_path) > 0


def test_this_machine_is_one_that_will_do() -> None:
    machine.check_system()
