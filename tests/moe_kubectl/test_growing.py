"""Four layers more on eight nodes more: the reference's 16 stages stay, four new ones are loaded."""

from __future__ import annotations

import json
from pathlib import Path

from moe_planner.amounts import gib
from tests.moe_api.objects import EXAMPLES
from tests.moe_kubectl.command import run

REFERENCE = EXAMPLES / "reference.yaml"
SIZES = "expertFfnSize: 64"
EXPERT_BYTES = 3 * 64 * 64 * 4


def bigger(folder: Path) -> str:
    text = REFERENCE.read_text()
    assert SIZES in text
    file = folder / "bigger.yaml"
    file.write_text(text.replace("layers: 16", "layers: 20").replace("nodes: 32", "nodes: 40"))
    return str(file)


def test_new_layers_are_loaded_on_new_nodes_and_nothing_else_moves(tmp_path: Path) -> None:
    done = run("plan", "-f", bigger(tmp_path), "--grow-from", str(REFERENCE), "-o", "json")
    assert done.returncode == 0, done.stderr
    growth = json.loads(done.stdout)["growth"]
    assert [one["expert"] for one in growth["experts"]] == list(range(256, 320))
    assert {one["from"] for one in growth["experts"]} == {None}
    assert {one["bytes"] for one in growth["experts"]} == {EXPERT_BYTES}
    assert growth["experts"][0]["to"] == {"rank": 256, "node": "node-32", "gpu": 0}
    assert growth["bytes"] == sum(one["bytes"] for one in [*growth["experts"], *growth["layers"]])


def test_the_table_shows_the_first_loads_with_their_bytes(tmp_path: Path) -> None:
    lines = run("plan", "-f", bigger(tmp_path), "--grow-from", str(REFERENCE)).stdout.splitlines()
    assert lines[0].startswith("from the layout that runs: 64 experts and 64 layers on a GPU to load, ")
    assert lines[2].split()[:2] == ["LAYER", "EXPERT"]
    assert lines[3].split() == ["16", "256", "nobody", "node-32", "GPU", "0", "256", *gib(EXPERT_BYTES).split()]
    assert lines[-1] == "... and 88 more (-o json shows all)"


def test_what_is_loaded_is_what_the_shown_layout_holds_also_where_loads_decide(tmp_path: Path) -> None:
    flags = ("--loads", "zipf:1.2", "--fix", "ep=8", "--fix", "copies=2", "-o", "json")
    shown = json.loads(run("plan", "-f", bigger(tmp_path), "--grow-from", str(REFERENCE), *flags).stdout)
    held = {
        (rank["rank"], one["expert"])
        for stage in shown["layout"]["stages"]
        for rank in stage["ranks"]
        for one in rank["experts"]
    }
    loaded = {(one["to"]["rank"], one["expert"]) for one in shown["growth"]["experts"]}
    assert loaded
    assert loaded <= held


def test_what_does_not_change_loads_nothing() -> None:
    done = run("plan", "-f", str(REFERENCE), "--grow-from", str(REFERENCE))
    assert done.stdout.startswith("from the layout that runs: 0 experts and 0 layers on a GPU to load, 0 B;")


def test_a_file_to_grow_from_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run("plan", "-f", str(REFERENCE), "--grow-from", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be read" in done.stderr
