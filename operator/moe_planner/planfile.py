"""A planning file: the reference document's configuration block, and what it may say of model, hardware and workload.

Reads it into the planner's values. `judge` says what the plan comes to on each of its lines, `corrected` writes the
block that is true.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moe_planner.correcting import corrected as corrected
from moe_planner.fields import Fields
from moe_planner.file_hardware import read_hardware
from moe_planner.file_model import DOCUMENT_MODEL, read_model
from moe_planner.file_workload import read_workload
from moe_planner.inputs import Constraints, Hardware, Targets
from moe_planner.judging import judge as judge
from moe_planner.limits import MOST_GPUS
from moe_planner.model import ModelShape
from moe_planner.planning_file import BLOCKS, DocumentLine, PlanFile
from moe_planner.units import BYTES, SECONDS, SHARE, TOKENS_PER_SECOND, Kind
from moe_planner.units import read as measure

# What the document claims in its text and leaves out of its block.
DOCUMENT_TARGETS = Targets(time_per_output_token=0.1, flops_share=0.6)
_TARGETS_TAKEN = ("targets", "decode in 100 ms a token and 60% MFU, which the reference document's text claims")

_PARTS = ("model", "hardware", "workload")
_REMEDY = "write it as in the reference document"

# `throughput: > 100 tokens/ms` begins a folded text to YAML, and is an error of it.
_LIMIT = re.compile(
    r"^(?P<key>[ \t]*[a-z_]{1,40}:[ \t]{1,40})(?P<limit>>=?[ \t]{0,9}[0-9][^#\n\"]{0,60}?)(?P<rest>[ \t]*(#.*)?)$", re.M
)


def quote_limits(text: str) -> str:
    """The text of a planning file with its lower limits quoted, so that the document's own block is YAML."""
    return _LIMIT.sub(r'\g<key>"\g<limit>"\g<rest>', text)


def read(document: Mapping[str, Any]) -> PlanFile:
    """The planner's arguments that a planning file stands for. Raises PlanError by the file's own keys."""
    top = Fields(document, "", _REMEDY)
    top.refuse_others(*BLOCKS, *_PARTS)
    blocks = {name: top.part(name) for name in BLOCKS}
    for name, keys in BLOCKS.items():
        blocks[name].refuse_others(*keys)
    if all(block.is_empty for block in blocks.values()):
        raise top.error("parallel_strategy", f"a planning file has at least one of {', '.join(BLOCKS)}")
    model = top.part("model") if top.has("model") else Fields(DOCUMENT_MODEL, "model", _REMEDY)
    shape = read_model(model)
    hardware = read_hardware(top.part("hardware"), blocks["gpu_configuration"])
    constraints = _constraints(blocks["parallel_strategy"], blocks["gpu_configuration"], shape)
    _check_memory(blocks["memory_allocation"])
    workload = read_workload(
        top.part("workload"),
        lanes=_lanes(constraints, shape, hardware),
        max_positions=shape.max_positions if model.has("config") else None,
    )
    return PlanFile(
        shape=replace(shape, max_positions=workload.max_sequence_length),
        hardware=hardware,
        workload=workload,
        constraints=constraints,
        targets=_targets(blocks["performance_targets"], DOCUMENT_TARGETS if not top.has("model") else Targets()),
        given=tuple(
            DocumentLine(key=block.at(key), written=block.value(key))
            for name, block in blocks.items()
            for key in BLOCKS[name]
            if block.has(key)
        ),
        assumed=(*shape.assumed, *_assumed(top)),
    )


def _constraints(block: Fields, gpus: Fields, shape: ModelShape) -> Constraints:
    pipeline, tensor, sequence, data = (_degree(block, key) for key in ("pp", "tp", "sp", "dp"))
    expert = _degree(block, "ep")
    if expert is not None and pipeline is not None:
        others = (tensor or 1) * (sequence or 1) * (data or 1)
        total = gpus.number("total_gpus", default=0, least=0, most=MOST_GPUS)
        expert = _expert_per_stage(expert, pipeline, total / others, shape)
    return Constraints(
        expert=expert, pipeline=pipeline, tensor=tensor, sequence=sequence, data=data, replicas=data or 1
    )


def _degree(block: Fields, key: str) -> int | None:
    """None where it is left to the planner."""
    return None if block.value(key) == "auto" or not block.has(key) else block.number(key, most=MOST_GPUS)


def _expert_per_stage(expert: int, pipeline: int, gpus_of_one: float, shape: ModelShape) -> int:
    """EP in the sense of the field: per stage. The document's "EP 256 x PP 16" on 256 GPUs counts all stages' ranks.

    Without a number of GPUs to tell, it is all stages' where no stage has so many experts.
    """
    if expert % pipeline or gpus_of_one == expert * pipeline:
        return expert
    has_too_few = expert > shape.experts * max(1, shape.layers // pipeline)
    return expert // pipeline if gpus_of_one == expert or has_too_few else expert


def _lanes(constraints: Constraints, shape: ModelShape, hardware: Hardware) -> int:
    """How many lanes share the batch: those of the stages that were asked for, else one for each expert of a layer."""
    per_stage = constraints.expert or min(shape.experts, hardware.num_gpus)
    return max(1, per_stage * constraints.replicas)


def _check_memory(block: Fields) -> None:
    for key in BLOCKS["memory_allocation"]:
        if block.has(key):
            measure(block.at(key), block.value(key), BYTES)


def _targets(block: Fields, others: Targets) -> Targets:
    """`throughput` is asked of prefill and of decode, as the document does not say which it means.

    `others` are what is asked where the block is silent.
    """
    both = _limit(block, "throughput", TOKENS_PER_SECOND, is_least=True)
    return Targets(
        time_to_first_token=_limit(block, "ttft", SECONDS),
        time_per_output_token=_limit(block, "decode_latency", SECONDS) or others.time_per_output_token,
        prefill_throughput_per_gpu=_limit(block, "prefill_throughput", TOKENS_PER_SECOND, is_least=True) or both,
        decode_throughput_per_gpu=_limit(block, "decode_throughput", TOKENS_PER_SECOND, is_least=True) or both,
        memory_share=_limit(block, "memory_utilization", SHARE),
        flops_share=_limit(block, "mfu", SHARE, is_least=True) or others.flops_share,
    )


def _limit(block: Fields, key: str, kind: Kind, *, is_least: bool = False) -> float | None:
    """What must at most, or at least, be reached; None where nothing is asked."""
    if not block.has(key):
        return None
    found = measure(block.at(key), block.value(key), kind)
    if found.relation.startswith("<" if is_least else ">") or not found.value:
        sense = "least" if is_least else "most"
        raise block.error(key, f"must say what is reached at {sense}, more than 0", f"write it like {kind.example}")
    return found.value


def _assumed(top: Fields) -> tuple[tuple[str, str], ...]:
    """The parts that the file leaves out."""
    taken = {
        "model": "not in the file: the reference document's, 16 layers x 16 experts, 10B parameters, hidden 512, fp16",
        "hardware": "not in the file: the reference document's GPU, 400 TFLOP/s and 64 GB; links of 50 GB/s, 10 us",
        "workload": "not in the file: the reference document's, 128 sequences of 128 to 10240 tokens",
    }
    assumed = tuple((part, text) for part, text in taken.items() if not top.has(part))
    return assumed if top.has("model") else (*assumed, _TARGETS_TAKEN)
