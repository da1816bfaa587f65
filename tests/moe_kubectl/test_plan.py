from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.moe_api.objects import EXAMPLES, raw
from tests.moe_kubectl.command import run


def test_plan_of_the_reference_as_json_is_the_contract() -> None:
    done = run("plan", "-f", str(EXAMPLES / "reference.yaml"), "-o", "json")
    values = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(values["layout"]["stages"]) == 16
    assert values["layout"]["stages"][3]["ranks"][3]["experts"] == [{"layer": 3, "expert": 51}]


def test_plan_as_yaml_says_the_same() -> None:
    file = str(EXAMPLES / "small.yaml")
    assert yaml.safe_load(run("plan", "-f", file, "-o", "yaml").stdout) == json.loads(
        run("plan", "-f", file, "-o", "json").stdout
    )


def test_plan_needs_neither_torch_nor_the_api_client() -> None:
    code = (
        "import sys; from moe_kubectl.main import main; sys.argv = ['kubectl-moe', 'plan', '-f', sys.argv[1]]\n"
        "try:\n    main()\nfinally:\n    assert not {'torch', 'kubernetes'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(EXAMPLES / "small.yaml")], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"2 stages x 4 experts = 8 ranks on 2 nodes" in done.stdout


def test_stdin_may_have_other_objects_and_dates() -> None:
    values = raw()
    text = yaml.safe_dump_all([{"kind": "Namespace"}, values]) + "---\n# nothing\n"
    text = text.replace("name: small\n", "name: small\n  creationTimestamp: 2026-01-01T00:00:00Z\n", 1)
    assert run("plan", "-f", "-", text=text).returncode == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "stdin is no YAML of an object"),
        ("? [a, b]\n: 1", "stdin"),
        ("a: &a [*a]", "stdin is no YAML of an object"),
        ("just words", "stdin has 0 objects of kind MoEDeployment; give a file with exactly one"),
        ("kind: MoEDeployment", "stdin: spec: is missing; add it"),
        ("kind: MoEDeployment\nspec: 7", "stdin: spec = 7: "),
        ("", "stdin has 0 objects"),
    ],
)
def test_what_is_no_deployment_is_one_clear_error_and_no_traceback(text: str, message: str) -> None:
    done = run("plan", "-f", "-", text=text)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_refusals_of_the_planner_name_the_field_of_the_spec() -> None:
    values = raw()
    values["spec"]["parallelism"] = {"pipeline": 99}
    done = run("plan", "-f", "-", text=yaml.safe_dump(values))
    assert done.returncode == 2
    assert done.stderr == (
        "error: stdin: spec.parallelism.pipeline = 99: a stage needs at least one of the 2 layers; use 1 to 2, or "
        "auto\n"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = run("plan", "-f", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.yaml cannot be read: No such file or directory; give the path" in done.stderr


def test_without_a_cluster_the_remedy_is_said(tmp_path: Path) -> None:
    done = run("status", "--kubeconfig", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "no cluster to talk to" in done.stderr
    assert "set KUBECONFIG" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [(), ("plan",), ("status",), ("map",)])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    assert "Usage" in run(*command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "--nodes", "x"), "see kubectl-moe plan --help"),
        (("plan", "--nodez", "3"), "--nodez"),
        (("plan", "--nodes", "0"), "--nodes"),
        (("plan", "-f"), "see kubectl-moe plan --help"),
        (("plan", "-o", "xml"), "xml"),
        (("plam",), "plam"),
        (("init",), "see kubectl-moe init --help"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_without_arguments_the_help_is_shown() -> None:
    done = run()
    assert done.returncode == 0
    assert "Usage" in done.stdout
