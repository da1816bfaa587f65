"""A spare's warm-up: the stage's weights are read once, no GPU is taken, and what is missing is left to the rank."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from moe_worker.make_checkpoint import main as make_checkpoint
from moe_worker.rank_process import warm_up
from moe_worker.rank_settings import RankSettings

STAGE = {"stage": 0, "stages": 1, "first_layer": 0, "num_layers": 1, "max_sequence_length": 64}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RankSettings:
    (tmp_path / "gpu0").write_text("healthy\n")
    monkeypatch.setenv("MOE_CPU_DEVICES", f"{tmp_path}/gpu0")
    sizes = ["--hidden", "64", "--heads", "4", "--kv-heads", "2", "--head-dim", "16", "--ffn", "64", "--vocab", "512"]
    make_checkpoint([str(tmp_path / "tiny"), "--layers", "1", "--experts", "4", "--experts-per-token", "2", *sizes])
    return RankSettings(
        deployment="d", replica=0, rank=0, gpu=0, pod_uid="u", incarnation=1, address="127.0.0.1:1", secret_file="",
        model_path=str(tmp_path / "tiny"), dtype="float32", shape={}, engine=STAGE,
    )  # fmt: skip


def files() -> set[str]:
    """What this process has open."""
    names = (f"/proc/self/fd/{fileno}" for fileno in os.listdir("/proc/self/fd"))
    return {os.readlink(name) for name in names if os.path.lexists(name)}


def test_a_warm_up_takes_no_gpu_and_leaves_nothing_open(settings: RankSettings) -> None:
    before = files()
    warm_up(settings.to_json())
    assert {name for name in files() - before if not name.startswith("/proc")} == set()


def test_a_gpu_that_is_broken_is_no_matter_of_a_warm_up(settings: RankSettings, tmp_path: Path) -> None:
    (tmp_path / "gpu0").write_text("failed: XID 79\n")
    warm_up(settings.to_json())


def test_a_warm_up_leaves_what_is_missing_for_the_rank_to_find(settings: RankSettings, tmp_path: Path) -> None:
    warm_up(replace(settings, model_path=str(tmp_path / "gone")).to_json())
    warm_up(replace(settings, gpu=3).to_json())
