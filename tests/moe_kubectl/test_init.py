from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from moe_api.deployment import MoEDeployment
from moe_api.planning import model_shape
from moe_planner.families import read_shape
from tests.moe_kubectl.command import run

CONFIGS = Path(__file__).parents[1] / "moe_planner" / "configs"
FP8 = CONFIGS / "deepseek-v3.json"


def folder_of(tmp_path: Path, config: Path, name: str = "Model_1.5") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(config.read_text())
    return folder


HELD = sorted(set(CONFIGS.glob("*.json")) - {FP8}, key=str)


@pytest.mark.parametrize("config", HELD, ids=lambda path: path.stem)
def test_every_familys_deployment_declares_its_whole_shape(tmp_path: Path, config: Path) -> None:
    done = run("init", str(folder_of(tmp_path, config)), "--hardware", "h200", "--nodes", "4")
    assert (done.returncode, done.stderr) == (0, "")
    deployment = MoEDeployment.load(yaml.safe_load(done.stdout))
    wanted = read_shape(json.loads(config.read_text()), dtype=deployment.spec.model.dtype)
    found = model_shape(deployment.spec.model, deployment.spec.engine)
    assert (found.parameters, found.expert_bytes) == (wanted.parameters, wanted.expert_bytes)
    assert run("plan", "-f", "-", text=done.stdout).returncode == 0


def test_numbers_packed_as_no_worker_reads_them_are_refused(tmp_path: Path) -> None:
    done = run("init", str(folder_of(tmp_path, FP8)), "--hardware", "h200", "--nodes", "16")
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.config.quantization_config.quant_method = fp8: the workers read weights" in done.stderr
    assert "use a checkpoint saved in bfloat16" in done.stderr
    gpt_oss = json.loads((CONFIGS / "gpt-oss-20b.json").read_text())
    packed = tmp_path / "awq"
    packed.mkdir()
    (packed / "config.json").write_text(json.dumps(gpt_oss | {"quantization_config": {"quant_method": "awq"}}))
    assert "that are plain numbers or mxfp4; use" in run("init", str(packed)).stderr


def test_the_name_comes_from_the_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, CONFIGS / "olmoe-1b-7b.json", "OLMoE-1B.7B")
    values = yaml.safe_load(run("init", str(folder)).stdout)
    assert values["metadata"]["name"] == "olmoe-1b-7b"
    assert values["spec"]["model"]["source"]["path"] == "OLMoE-1B.7B"
    assert run("init", str(folder), "--name", "mine").stdout.count("name: mine") == 1


def test_wrong_input_is_one_clear_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, CONFIGS / "olmoe-1b-7b.json")
    for arguments, message in (
        ((str(tmp_path / "none"),), "cannot be read"),
        ((str(folder), "--name", "Not_a_name"), "names are lower-case letters"),
        ((str(folder), "--nodes", "9999"), "spec.hardware.nodes = 9999"),
    ):
        done = run("init", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert "model.config.model_type = bert: the planner knows" in run("init", str(folder)).stderr
    (folder / "config.json").write_text("[" * 100_000)
    assert run("init", str(folder)).returncode == 2
