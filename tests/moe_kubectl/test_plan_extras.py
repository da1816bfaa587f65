from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from tests.moe_api.objects import EXAMPLES, deployment
from tests.moe_kubectl.command import run
from tests.moe_operator.manifests import manifests_of

REFERENCE, SMALL = str(EXAMPLES / "reference.yaml"), str(EXAMPLES / "small.yaml")
DOCUMENT = """\
parallel_strategy:
  ep: 256          # Expert Parallel
  pp: 16
  tp: 1
  sp: 1
  dp: 1

gpu_configuration:
  total_gpus: 256
  gpus_per_node: 8
  nodes_required: 32

memory_allocation:
  expert_parameters: 78MB per GPU
  kv_cache: 20MB per GPU
  activation_buffer: 500MB per GPU
  total_usage: < 1GB per GPU

performance_targets:
  ttft: < 10s
  throughput: > 100 tokens/ms per GPU
  memory_utilization: < 2% of VRAM
"""


def test_the_documents_block_is_answered_line_by_line() -> None:
    done = run("plan", "-f", "-", "-o", "json", text=DOCUMENT)
    answer = json.loads(done.stdout)["planningFile"]
    verdicts = {line["key"]: line["verdict"] for line in answer["lines"]}
    assert verdicts["parallel_strategy.ep"] == "holds"
    assert verdicts["memory_allocation.kv_cache"] == "fails"
    assert verdicts["performance_targets.throughput (decode)"] == "unreachable"
    assert answer["corrected"]["parallel_strategy"]["ep"] == 16


def test_the_example_is_the_documents_block() -> None:
    example = run("plan", "-f", str(EXAMPLES / "planning-file.yaml"))
    assert example.stdout == run("plan", "-f", "-", text=DOCUMENT).stdout


def test_the_corrected_block_is_a_planning_file_whose_lines_hold() -> None:
    answer = json.loads(run("plan", "-f", "-", "-o", "json", text=DOCUMENT).stdout)["planningFile"]
    again = run("plan", "-f", "-", "-o", "json", text=yaml.safe_dump(answer["corrected"]))
    lines = json.loads(again.stdout)["planningFile"]["lines"]
    assert {line["verdict"] for line in lines} == {"holds"}


def test_the_answer_comes_before_the_reasoning_and_fits() -> None:
    text = run("plan", "-f", "-", text=DOCUMENT).stdout
    assert (
        text.index("LINE OF THE FILE") < text.index("THE BLOCK AS THIS PLAN MAKES IT TRUE") < text.index("1. Structure")
    )
    assert max(map(len, text.splitlines())) <= 120


def test_a_failure_shows_what_moves_and_what_is_lost() -> None:
    text = run("plan", "-f", REFERENCE, "--fail", "node-3,gpu:7/2").stdout
    assert text.startswith("node-3,gpu:7/2: 9 GPUs of 2 stages lost; 9 experts to load elsewhere (")
    assert "0        3      58          -" in text
    text = run("plan", "-f", "-", "--fail", "gpu:0/0", text=DOCUMENT).stdout
    assert "0 lanes to reset; no expert is lost; 1 lane WITHOUT A RANK: no rank keeps cache for one more" in text
    values = json.loads(run("plan", "-f", SMALL, "--fail", "node-1", "-o", "json").stdout)
    assert values["failures"] == [
        {
            "replica": 0,
            "stage": 1,
            "lostRanks": [4, 5, 6, 7],
            "uncovered": [4, 5, 6, 7],
            "moves": [],
            "laneMoves": [],
            "lostExperts": [4, 5, 6, 7],
            "homelessLanes": [0, 1, 2, 3],
        }
    ]


def test_a_failure_of_what_is_not_used_loses_nothing() -> None:
    done = run("plan", "-f", SMALL, "--nodes", "3", "--fix", "ep=4", "--fix", "pp=2", "--fail", "node-2")
    assert done.stdout == "node-2: the plan uses none of it; nothing moves and nothing is lost\n"


def test_two_plans_stand_side_by_side() -> None:
    text = run("plan", "-f", REFERENCE, "--fix", "ep=32", "--compare", REFERENCE).stdout
    assert text.splitlines()[0].split(None, 2) == ["LINE", "reference.yaml", "reference.yaml --fix ep=32"]
    assert "≠  Degrees" in text
    values = json.loads(run("plan", "-f", REFERENCE, "--compare", SMALL, "-o", "json").stdout)
    assert values["compared"][0] == {"name": "Degrees", "one": "EP4 x PP2", "other": "EP16 x PP16", "differs": True}


def test_what_is_deployed_is_counted_again(tmp_path: Path) -> None:
    _, objects = manifests_of(deployment("small"))
    file = tmp_path / "deployed.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    done = run("plan", "-f", SMALL, "--recount", str(file))
    assert done.returncode == 0
    assert done.stdout.endswith("lines agree\n")

    objects[0]["spec"]["experts"][2]["ranks"] = [3]
    file.write_text(yaml.safe_dump({"kind": "List", "items": objects}))
    done = run("plan", "-f", SMALL, "--recount", str(file))
    assert done.returncode == 1
    assert "DIFFERS  Hosts of experts" in done.stdout
    assert "expert 2 is missing on rank 2; expert 2 is too much on rank 3" in done.stdout


def test_measured_lines_calibrate_and_show_their_errors(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    samples = [{"name": "Decode step", "value": value, "unit": "ms"} for value in (7.0, 7.2)]
    file.write_text(json.dumps(samples))
    plain = json.loads(run("plan", "-f", "-", "-o", "json", text=DOCUMENT).stdout)
    values = json.loads(run("plan", "-f", "-", "--measured", str(file), "-o", "json", text=DOCUMENT).stdout)
    (line,) = values["measured"]
    assert (line["name"], line["samples"]) == ("Decode step", 2)
    assert line["errorBefore"] > 0.4 > 0.05 > line["errorAfter"]
    assert values["figures"]["decodeStepSeconds"] == pytest.approx(
        plain["figures"]["decodeStepSeconds"] * line["factor"]
    )
    text = run("plan", "-f", "-", "--measured", str(file), text=DOCUMENT).stdout
    assert "MEASURED LINE  SAMPLES  PREDICTED  MEASURED  FACTOR  ERROR BEFORE  ERROR AFTER" in text


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("7", "measured = 7: must be a list of measured lines"),
        ('[{"name": "x"}]', "measured[0].name = x: is no line that is predicted"),
        ('[{"name": "decode sums", "value": 1, "unit": "ms"}]', "the plan predicts none of its lines"),
    ],
)
def test_measured_lines_that_are_none_are_one_clear_line(tmp_path: Path, written: str, message: str) -> None:
    file = tmp_path / "measured.json"
    file.write_text(written)
    done = run("plan", "-f", SMALL, "--measured", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_picture_is_written(tmp_path: Path) -> None:
    file = tmp_path / "map.svg"
    done = run("plan", "-f", REFERENCE, "--svg", str(file), "--fail", "gpu:7/2")
    assert done.returncode == 0
    words = "".join(ElementTree.parse(file).getroot().itertext())
    assert "rank 58 node-7 gpu 2: lost" in words
    assert "48,+58" in words


@pytest.mark.parametrize("text", ["parallel_strategy: [1]", "parallel_strategy: {ep: -1}", "gpu_configuration: {x: 1}"])
def test_a_wrong_planning_file_is_one_clear_line(text: str) -> None:
    done = run("plan", "-f", "-", text=text)
    assert done.returncode == 2
    assert done.stderr.startswith("error: stdin: ")
    assert len(done.stderr.splitlines()) == 1
