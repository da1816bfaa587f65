"""What every family keeps to: it reads each tensor of its part once and nothing else, and it is declared."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from safetensors import safe_open

from moe_api.shape import shape_spec
from moe_api.worker_features import DTYPES, FAMILIES
from moe_planner.families import read_shape
from moe_worker.checkpoint_configs import FAMILIES as MADE
from moe_worker.device.cpu import CpuDevice
from moe_worker.model.declared import check_declared
from moe_worker.model.engine import DTYPES as COMPUTED
from moe_worker.model.engine import open_engine
from moe_worker.model.families.registry import FAMILIES as READ
from moe_worker.model.families.registry import read_family
from moe_worker.protocol.settings import Settings
from tests.moe_worker.model.conftest import SHAPES
from tests.moe_worker.model.driver import load_all, whole_engine

NUMBER_BYTES = 4


def test_what_is_declared_to_the_operator_is_what_is_computed_and_tested() -> None:
    assert tuple(READ) == FAMILIES
    assert tuple(MADE) == FAMILIES
    assert tuple(COMPUTED) == DTYPES
    made = {options.split()[1] for options in SHAPES.values() if options.startswith("--family")}
    assert made | {"qwen3_moe"} == set(FAMILIES)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_planner_reads_of_a_checkpoint_is_what_the_worker_finds_in_it(
    checkpoint: Callable[[str], Path], shape: str
) -> None:
    raw = json.loads((checkpoint(shape) / "config.json").read_text())
    declared = shape_spec(read_shape(raw)).dump()
    family = read_family(checkpoint(shape))
    check_declared(family.config, family.traits, declared)


def stored(folder: Path, experts: int) -> dict[str, int]:
    """Bytes by tensor's name; tensors of all of a layer's experts in one appear once for each, with their number."""
    found: dict[str, int] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                shape = opened.get_slice(name).get_shape()
                size = NUMBER_BYTES
                for length in shape:
                    size *= length
                if re.search(r"\.experts\.[a-z]", name):
                    assert shape[0] == experts
                    found |= {name.replace(".experts.", f".experts.{e}."): size // experts for e in range(experts)}
                else:
                    found[name] = size
    return found


def is_needed(name: str, settings: Settings, experts: Iterable[tuple[int, int]]) -> bool:
    """By the name alone, for a stage of these settings and experts (layer, number in it)."""
    found = re.match(r"model\.layers\.(\d+)\.(?:.*\.experts\.(\d+)\.)?", name)
    if not found:
        return settings.is_first if name.startswith("model.embed") else settings.is_last
    layer, expert = int(found[1]), found[2]
    return layer in settings.layers if expert is None else (layer, int(expert)) in experts


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("stage", "held"), [(0, 0), (1, 2), (1, 5)])
def test_the_bytes_read_are_the_bytes_needed(
    checkpoint: Callable[[str], Path], shape: str, stage: int, held: int
) -> None:
    folder = checkpoint(shape)
    config = read_family(folder).config
    first = stage * (config.layers - 1)
    place = {"first_layer": first, "num_layers": 1 if stage else config.layers - 1}
    settings = Settings(stage=stage, stages=2, **place)
    engine = open_engine(folder, device=CpuDevice(None), settings=settings, dtype="float32")
    experts = config.expert_ids(settings.layers)[:held]
    load_all(engine, experts)
    engine.close()
    pairs = [divmod(expert, config.experts) for expert in experts]
    sizes = stored(folder, config.experts)
    assert engine.bytes_read == sum(size for name, size in sizes.items() if is_needed(name, settings, pairs))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_model_reads_the_whole_checkpoint(checkpoint: Callable[[str], Path], shape: str) -> None:
    engine = whole_engine(checkpoint(shape))
    assert engine.bytes_read == sum(stored(checkpoint(shape), engine.config.experts).values())
