"""What people read, whole: `UPDATE_GOLDEN=1` writes the texts anew. Look at the difference before you keep it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.moe_api.objects import EXAMPLES
from tests.moe_kubectl.command import run
from tests.moe_kubectl.test_plan_extras import DOCUMENT

GOLDEN = Path(__file__).parent / "golden"
CONFIGS = Path(__file__).parents[1] / "moe_planner" / "configs"
REFERENCE = str(EXAMPLES / "reference.yaml")
COMMANDS = {
    "reference": ("-f", REFERENCE),
    "document": ("-f", "-"),
    "document-zipf": ("-f", "-", "--loads", "zipf", "--fix", "copies=2"),
    "deepseek-v3": ("--model", str(CONFIGS / "deepseek-v3.json"), "--hardware", "h200", "--nodes", "16"),
    "fail": ("-f", REFERENCE, "--fail", "node-3,gpu:7/2"),
    "compare": ("-f", REFERENCE, "--fix", "ep=32", "--compare", REFERENCE),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_texts_are_as_agreed(name: str) -> None:
    done = run("plan", *COMMANDS[name], text=DOCUMENT)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == golden.read_text()
    assert max(len(line) for line in done.stdout.splitlines()) <= 120
