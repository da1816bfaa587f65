import argparse
from pathlib import Path

import pytest
import yaml

from demo.checkpoint import read_example
from demo.shape import add_flags, choose_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "reference.yaml"


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(arguments)


def test_without_flags_the_example_is_taken_as_it_is(tmp_path: Path) -> None:
    assert choose_example(EXAMPLE, options(), tmp_path) == EXAMPLE
    assert list(tmp_path.iterdir()) == []


def test_flags_give_a_random_model_of_that_shape(tmp_path: Path) -> None:
    changed = choose_example(EXAMPLE, options("--layers", "8", "--experts", "32", "--hidden", "128"), tmp_path)
    deployment = read_example(changed)
    model, shape = deployment.spec.model, deployment.spec.model.shape
    assert (shape.layers, shape.experts, shape.hidden_size) == (8, 32, 128)
    assert (model.name, model.source.path) == ("random", "random")
    assert shape.tied_embeddings is None


def test_what_no_flag_names_stays(tmp_path: Path) -> None:
    changed = yaml.safe_load(choose_example(EXAMPLE, options("--layers", "4"), tmp_path).read_text())
    before = yaml.safe_load(EXAMPLE.read_text())
    assert changed["spec"]["model"]["shape"]["layers"] == 4
    assert {key: value for key, value in changed["spec"].items() if key != "model"} == {
        key: value for key, value in before["spec"].items() if key != "model"
    }
    assert changed["metadata"] == before["metadata"]


def test_a_model_of_one_expert_chooses_one(tmp_path: Path) -> None:
    shape = read_example(choose_example(EXAMPLE, options("--experts", "1"), tmp_path)).spec.model.shape
    assert (shape.experts, shape.experts_per_token) == (1, 1)


@pytest.mark.parametrize("size", ["0", "-4", "many"])
def test_what_is_no_size_is_refused_with_the_rule(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(f"--layers={size}")
    assert f"'{size}' is no size; write a whole number of 1 or more" in capsys.readouterr().err
