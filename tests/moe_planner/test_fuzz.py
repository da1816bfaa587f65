"""Twelve thousand inputs with wrong, odd and huge values in them: a plan or one clear error, and nothing else."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from moe_planner.calibration import Calibration, Correction
from moe_planner.errors import PlanError
from moe_planner.families import read_shape
from moe_planner.inputs import Constraints, Gpu, Hardware, Link, Loads, NodePlace, Targets
from moe_planner.model import LatentAttention
from moe_planner.plan import plan
from moe_planner.planfile import corrected, judge, read
from moe_planner.planning_file import BLOCKS
from moe_planner.profiles import NAMES
from tests.moe_planner.configs_of import config
from tests.moe_planner.inputs import SHAPE, WORKLOAD
from tests.moe_planner.planning_files import document

NUMBERS = [0, -1, 1, 2, 3, 7, 8, 16, 17, 64, 10**9, 10**18, 10**400, 10**5000, -(10**5000)]
REALS = [0.0, -0.0, 0.5, 1.5, -2.5, 1e30, 1e308, 5e-324, math.nan, math.inf, -math.inf]
TEXTS = ["", " ", "x", "16", "auto", "node-0", "1e9", "10s", "< 10s", "> 5 tokens/ms", "64GB", "2%", "\x00\n"]
SEVERAL: list[Any] = [[], {}, (), [0], (0, 1), (1.5,), ("a", "b"), {"a": 1}, frozenset(), [[[]]]]
ODD = [*NUMBERS, *REALS, *TEXTS, *SEVERAL, None, True, False, b"x", "µ" * 200]

SMALL = replace(SHAPE, layers=4, experts=8, expert_ffn=64)
GPU = Gpu(name="own", flops=(("float32", 1e12),), memory_bandwidth=1e12)
LINK = Link(bandwidth=1e9, latency=1e-6)
NODES = Hardware(nodes=4, gpus_per_node=4, gpu_memory_bytes=1 << 34, gpu=GPU, inside=LINK, between=LINK)
LATENT = LatentAttention(kv_rank=8, query_rank=4, rope_dim=4, nope_dim=8, value_dim=8)


def refusal(act: Callable[[], object]) -> PlanError | None:
    try:
        act()
    except PlanError as error:
        return error
    return None


def outcome(act: Callable[[], object]) -> str:
    """The field of the error, which is complete and one line; "" where there was none."""
    error = refusal(act)
    if error is None:
        return ""
    assert error.field.strip()
    assert all(str(part).strip() for part in (error.value, error.rule, error.remedy))
    assert "\n" not in str(error)
    return error.field


def some(names: list[str], chance: random.Random) -> list[str]:
    """One of the names, at times two or three."""
    return chance.sample(names, min(len(names), chance.choice([1, 1, 1, 2, 3])))


def odd_parts(value: Any, chance: random.Random) -> Any:
    """The dataclass with up to three of its fields made odd."""
    names = some([field.name for field in fields(value)], chance)
    return replace(value, **{name: chance.choice(ODD) for name in names})


def odd_plan(chance: random.Random) -> Callable[[], object]:
    """A plan whose inputs have something odd in one place or another."""
    parts: dict[str, Any] = {
        "shape": replace(SMALL, latent=LATENT if chance.random() < 0.3 else None),
        "hardware": NODES,
        "workload": WORKLOAD,
        "constraints": Constraints(copies=chance.choice([1, 2]), survive=chance.choice(["nothing", "gpu", "node"])),
        "targets": Targets(memory_share=0.5, time_to_first_token=1.0),
        "loads": Loads(kind=chance.choice(["uniform", "zipf"])),
        "calibration": Calibration(),
    }
    inner: dict[str, Callable[[Any], Any]] = {
        "latent": lambda odd: {"shape": replace(SMALL, latent=odd(LATENT))},
        "gpu": lambda odd: {"hardware": replace(NODES, gpu=odd(GPU))},
        "link": lambda odd: {"hardware": replace(NODES, inside=odd(LINK))},
        "places": lambda odd: {"hardware": replace(NODES, places=(odd(NodePlace()),) * 4)},
        "bad": lambda odd: {"hardware": replace(NODES, bad_gpus=frozenset({("node-1", 2)}), gpus_per_node=4)},
        "correction": lambda odd: {
            "calibration": Calibration(
                corrections=(odd(Correction(name="Decode step", factor=2.0, num_samples=1, error=0.1)),)
            )
        },
        "counts": lambda odd: {"loads": Loads(kind="measured", counts=((chance.choice(ODD),) * 8,) * 4)},
    }
    for name in some([*parts, *inner], chance):
        if name in inner:
            parts.update(inner[name](lambda value: odd_parts(value, chance)))
        else:
            parts[name] = odd_parts(parts[name], chance)
    return lambda: plan(**parts)


def odd_mapping(values: Mapping[str, Any], chance: random.Random, extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """The mapping with some keys made odd, left out, or added, here or in a mapping below."""
    made = dict(values)
    for key in some([*made, *extra], chance):
        inside = made.get(key)
        if isinstance(inside, dict) and inside and chance.random() < 0.8:
            made[key] = odd_mapping(inside, chance)
        elif chance.random() < 0.15:
            made.pop(key, None)
        else:
            made[key] = chance.choice(ODD)
    if chance.random() < 0.05:
        made[chance.choice(["", "extra", 7, None, "x" * 300])] = chance.choice(ODD)  # type: ignore[index]
    return made


CONFIGS = [
    config(name)
    for name in (
        "qwen3-30b-a3b",
        "qwen1.5-moe-a2.7b",
        "mixtral-8x7b",
        "olmoe-1b-7b",
        "deepseek-v2-lite",
        "deepseek-v3",
        "gpt-oss-20b",
        "llama-4-scout",
    )
]
CONFIG_SWITCHES = (
    "mlp_only_layers",
    "decoder_sparse_step",
    "use_sliding_window",
    "max_window_layers",
    "moe_layer_freq",
    "interleave_moe_layer_step",
    "no_rope_layers",
    "layer_types",
    "quantization_config",
    "mlp_bias",
)


def odd_config(chance: random.Random) -> Callable[[], object]:
    """A published config with something odd in it; what can be read has sizes that can be computed."""
    values = odd_mapping(chance.choice(CONFIGS), chance, CONFIG_SWITCHES)
    dtype = chance.choice([None, None, None, "bfloat16", *ODD])

    def act() -> None:
        shape = read_shape(values, dtype=dtype)
        assert shape.parameters > 0
        assert shape.attention_bytes >= shape.attention_bytes_of(0) > 0

    return act


def odd_file(chance: random.Random) -> Callable[[], object]:
    """The document's block with something odd in it; what can be read is planned, judged and corrected."""
    parts: dict[str, Any] = document(
        model={"layers": 4, "experts": 8, "experts_per_token": 2, "hidden_size": 64, "heads": 4, "head_size": 16}
        | chance.choice([{"expert_ffn_size": 64}, {"parameters": 10**7}]),
        hardware={"profile": chance.choice(NAMES), "nodes": 4, "places": {}, "bad_gpus": []},
        workload={"batch_size": 16, "max_sequence_length": 256},
        parallel_strategy={"ep": chance.choice([8, 32, "auto"]), "pp": 4, "tp": 1, "sp": 1, "dp": 1},
    )
    values = odd_mapping(parts, chance)
    for part, keys in BLOCKS.items():
        if chance.random() < 0.1:
            values[part] = odd_mapping(values[part], chance, keys) if isinstance(values.get(part), dict) else {}

    def act() -> None:
        file = read(values)
        made = plan(file.shape, file.hardware, file.workload, file.constraints, targets=file.targets)
        assert len(judge(file, made)) >= len(file.given)
        assert corrected(file, made)["gpu_configuration"]["total_gpus"] == made.degrees.num_ranks

    return act


@pytest.mark.parametrize(
    ("make", "number", "least_planned"), [(odd_plan, 2500, 200), (odd_config, 8000, 200), (odd_file, 1500, 100)]
)
def test_odd_inputs_give_a_plan_or_one_clear_error(
    make: Callable[[random.Random], Callable[[], object]], number: int, least_planned: int
) -> None:
    found: dict[str, int] = {}
    for seed in range(number):
        try:
            field = outcome(make(random.Random(seed)))
        except Exception as error:
            raise AssertionError(f"{make.__name__} of seed {seed} raised {type(error).__name__}") from error
        found[field] = found.get(field, 0) + 1
    assert found[""] >= least_planned
    assert len(found) >= 20
