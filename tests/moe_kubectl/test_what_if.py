from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moe_kubectl.errors import CommandError
from moe_kubectl.files import Source
from moe_kubectl.what_if import WhatIf, applied, parse_fixes, sized
from tests.moe_api.objects import EXAMPLES, raw
from tests.moe_kubectl.command import run

CONFIGS = Path(__file__).parents[1] / "moe_planner" / "configs"
BLOCK = {
    "parallel_strategy": {"ep": 256, "pp": 16},
    "gpu_configuration": {"total_gpus": 256, "gpus_per_node": 8, "nodes_required": 32},
}


def planning(**flags: Any) -> dict[str, Any]:
    return applied(Source(name="file", kind="planning", values=BLOCK), WhatIf(**flags)).values


def spec(**flags: Any) -> dict[str, Any]:
    values: dict[str, Any] = applied(Source(name="file", kind="deployment", values=raw()), WhatIf(**flags)).values
    found: dict[str, Any] = values["spec"]
    return found


def plan_json(*arguments: str) -> dict[str, Any]:
    done = run("plan", *arguments, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    values: dict[str, Any] = json.loads(done.stdout)
    return values


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"gpus": 32}, (4, 8)),
        ({"gpus": 4}, (1, 4)),
        ({"gpus": 32, "nodes": 2}, (2, 16)),
        ({"gpus": 32, "gpus_per_node": 4}, (8, 4)),
        ({"nodes": 3}, (3, None)),
        ({}, (None, None)),
    ],
)
def test_gpus_are_whole_nodes(flags: dict[str, int], expected: tuple[int | None, int | None]) -> None:
    assert sized(WhatIf(**flags), 8) == expected


def test_gpus_that_are_no_whole_nodes_are_refused() -> None:
    with pytest.raises(CommandError, match="--gpus 20: 3 nodes of 8 GPUs are 24; give a multiple of 8"):
        sized(WhatIf(gpus=20), 8)


@pytest.mark.parametrize("written", ["ep", "ep=", "ep=x", "xp=3", "ep=-1", "ep=1.5", "ep=²", "ep=" + "9" * 20])
def test_what_cannot_be_fixed_is_refused(written: str) -> None:
    with pytest.raises(CommandError, match="write one of ep, pp, tp, sp, dp, copies and a number"):
        parse_fixes([written])


def test_the_last_of_a_name_counts() -> None:
    assert parse_fixes(["ep=8", "pp = 2", "ep=16"]) == (("ep", 16), ("pp", 2))


def test_flags_change_a_deployment_and_leave_the_source_alone() -> None:
    source = Source(name="file", kind="deployment", values=raw())
    changed = applied(source, WhatIf(nodes=4, hardware="h200", fix=(("ep", 4), ("copies", 2), ("dp", 2))))
    assert source.values == raw()
    found = changed.values["spec"]
    assert found["hardware"] == {"nodes": 4, "gpusPerNode": 4, "profile": "h200"}
    assert (found["parallelism"], found["experts"], found["replicas"]) == ({"expert": 4, "data": 2}, {"copies": 2}, 2)


def test_flags_change_a_planning_file() -> None:
    found = planning(gpus=64, hardware="h100-sxm", fix=(("ep", 8),))
    assert found["gpu_configuration"] == {"nodes_required": 8, "gpus_per_node": 8}
    assert found["hardware"] == {"profile": "h100-sxm", "nodes": 8, "gpus_per_node": 8}
    assert found["parallel_strategy"] == {"ep": 8, "pp": 16}


def test_a_models_config_replaces_the_declared_shape() -> None:
    config = json.loads((CONFIGS / "deepseek-v2-lite.json").read_text())
    shape = spec(config=config, model="m")["model"]["shape"]
    assert (shape["layers"], shape["denseLayers"], shape["family"]) == (27, [0], "deepseek_v2")
    assert shape["latentAttention"]["keyValueRank"] == 512


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.json"), key=str), ids=lambda path: path.stem)
def test_every_family_is_planned_from_its_config_alone(config: Path) -> None:
    values = plan_json("--model", str(config), "--hardware", "h200", "--nodes", "4")
    ranks = [rank for stage in values["layout"]["stages"] for rank in stage["ranks"]]
    held = [expert["expert"] for rank in ranks for expert in rank["experts"]]
    assert len(set(held)) == len(held) > 0
    assert values["planningFile"]["corrected"]["gpu_configuration"]["nodes_required"] <= 4


def test_fixed_degrees_are_kept() -> None:
    values = plan_json("-f", str(EXAMPLES / "reference.yaml"), "--fix", "ep=32", "--fix", "copies=2")
    assert (values["degrees"]["expert"], values["degrees"]["pipeline"]) == (32, 8)
    assert all(len(rank["experts"]) == 2 for stage in values["layout"]["stages"] for rank in stage["ranks"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is nothing to plan; give -f FILE, or --model DIR"),
        (("--model", "{config}"), "how many GPUs there are is not said; give --nodes N or --gpus N"),
        (("--model", "{config}", "--nodes", "2"), "which GPUs there are is not said; give --hardware NAME"),
        (("--model", "{config}", "--nodes", "2", "--hardware", "h900"), "must be one of h100-sxm, "),
        (("--model", "/none"), "/none cannot be read: No such file or directory; give a folder with a config.json"),
        (("-f", "{small}", "--objective", "best"), "--objective best: is none of balance, cheapest, fastest"),
        (("-f", "{small}", "--loads", "zipf:-1"), "the exponent of zipf must be a number from 0 to 10"),
        (("-f", "{small}", "--loads", "none.json"), "none.json cannot be read"),
        (("-f", "{small}", "--loads", "{small}"), "has no counts; write a list of layers"),
        (("-f", "{small}", "--fail", "node-9"), "--fail = node-9: names none of the 2 nodes"),
        (("-f", "{small}", "--fail", "gpu:1/9"), "a node has 4 GPUs"),
        (("-f", "{small}", "--fail", ""), "names none of the 2 nodes"),
        (("-f", "{small}", "--fix", "ep=0"), "spec.parallelism.expert = 0: "),
        (("-f", "{small}", "--nodes", "5000"), "spec.hardware.nodes = 5000: "),
        (("-f", "{small}", "--compare", "none.yaml"), "none.yaml cannot be read"),
        (("-f", "{small}", "--recount", "{small}"), "there is no MoEStage among the objects"),
        (("-f", "{small}", "--svg", "/none/map.svg"), "/none/map.svg cannot be written: No such file or directory"),
        (("-f", "{small}", "--fix", "tp=3"), "tensor"),
    ],
)
def test_wrong_flags_are_one_clear_line_and_no_traceback(arguments: tuple[str, ...], message: str) -> None:
    places = {"config": str(CONFIGS / "olmoe-1b-7b.json"), "small": str(EXAMPLES / "small.yaml")}
    done = run("plan", *(argument.format(**places) for argument in arguments))
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("[[1, -1]]", "has the count -1"),
        ("[[1, x]]", "has the count x"),
        ("[1]", "no list of counts"),
        ("{}", "no counts"),
    ],
)
def test_counts_that_are_none_are_refused(tmp_path: Path, counts: str, message: str) -> None:
    file = tmp_path / "loads.json"
    file.write_text(counts)
    done = run("plan", "-f", str(EXAMPLES / "small.yaml"), "--loads", str(file))
    assert done.returncode == 2
    assert message in done.stderr


def test_measured_counts_spread_the_load(tmp_path: Path) -> None:
    file = tmp_path / "loads.json"
    file.write_text(json.dumps({"counts": [[90, 5, 3, 2], [25, 25, 25, 25]]}))
    small = str(EXAMPLES / "small.yaml")
    values = plan_json("-f", small, "--fix", "ep=2", "--fix", "pp=2", "--loads", str(file))
    first = [[e["expert"] for e in rank["experts"]] for rank in values["layout"]["stages"][0]["ranks"]]
    assert sorted(map(sorted, first)) != [[0, 1], [2, 3]]
