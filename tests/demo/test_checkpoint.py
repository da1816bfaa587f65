import json
from pathlib import Path

import pytest

from demo.checkpoint import SHIPPED, prepare_checkpoint, read_example
from moe_worker.model.declared import check_declared
from moe_worker.model.families.registry import read_family

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_reference_is_the_shipped_model_and_declares_its_shape() -> None:
    deployment = read_example(EXAMPLES / "reference.yaml")
    checkpoint = prepare_checkpoint(deployment)
    assert (checkpoint.volume, checkpoint.folder) == (SHIPPED, SHIPPED / "speaking")
    declared = deployment.spec.model.shape.model_dump(by_alias=True, exclude_none=True)
    family = read_family(checkpoint.folder)
    check_declared(family.config, family.traits, declared)


def test_another_folder_is_made_of_random_weights_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    deployment = read_example(EXAMPLES / "small.yaml")
    checkpoint = prepare_checkpoint(deployment)
    assert checkpoint.folder == checkpoint.volume / "small"
    assert json.loads((checkpoint.folder / "config.json").read_text())["hidden_size"] == 64
    made = (checkpoint.folder / "config.json").stat().st_mtime_ns
    assert prepare_checkpoint(deployment) == checkpoint
    assert (checkpoint.folder / "config.json").stat().st_mtime_ns == made
