"""A pod's environment is read whole, or refused with the variable's name."""

from pathlib import Path

import pytest

from moe_worker.errors import SettingsError
from moe_worker.settings import PodSettings
from moe_worker.supervisor.incarnations import RESERVED, Incarnations

ENV = {
    "MOE_NAMESPACE": "ns", "MOE_STAGE": "d-r0-s00", "MOE_DEPLOYMENT": "d", "NODE_RANK": "1", "POD_NAME": "p",
    "POD_UID": "u", "POD_IP": "127.0.0.1", "NODE_NAME": "n", "MODEL_PATH": "/models/m",
}  # fmt: skip


def test_a_whole_environment_is_read() -> None:
    settings = PodSettings.from_env(ENV)
    assert (settings.node_rank, settings.probe_port, settings.model_path) == (1, 8080, Path("/models/m"))
    assert settings.secret_file == Path("/var/run/moe/secret/key")


@pytest.mark.parametrize("name", sorted(ENV))
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        PodSettings.from_env({**ENV, name: ""})


def test_a_senseless_number_is_named_with_its_value() -> None:
    with pytest.raises(SettingsError, match="NODE_RANK is 'x'"):
        PodSettings.from_env({**ENV, "NODE_RANK": "x"})


def test_incarnations_grow_over_restarts_and_each_seat_has_its_own(tmp_path: Path) -> None:
    first = Incarnations(tmp_path / "state")
    assert [first.next(4), first.next(4), first.next(5)] == [1, 2, 1]
    assert Incarnations(tmp_path / "state").next(4) == RESERVED + 1


def test_a_disk_that_fails_keeps_no_rank_from_starting_again_and_no_number_is_used_twice(tmp_path: Path) -> None:
    first = Incarnations(tmp_path / "state")
    assert first.next(4) == 1
    file = tmp_path / "state" / "rank-4"
    file.unlink()
    file.mkdir()
    assert [first.next(4) for _ in range(RESERVED - 1)] == list(range(2, RESERVED + 1))
    with pytest.raises(OSError, match="rank-4"):
        first.next(4)
    with pytest.raises(OSError, match="rank-4"):
        Incarnations(tmp_path / "state").next(4)
    file.rmdir()
    assert first.next(4) == RESERVED + 1


def test_a_number_is_written_over_where_it_lies_so_that_it_needs_no_room(tmp_path: Path) -> None:
    first = Incarnations(tmp_path)
    first.next(4)
    file = tmp_path / "rank-4"
    before, size = file.stat().st_ino, file.stat().st_size
    for _ in range(2 * RESERVED):
        first.next(4)
    assert (file.stat().st_ino, file.stat().st_size) == (before, size)
    assert [one.name for one in tmp_path.iterdir()] == ["rank-4"]
