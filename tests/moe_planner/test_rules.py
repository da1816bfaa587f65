from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from moe_planner.calibration import Calibration, Correction
from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Gpu, Link, Loads, NodePlace, Targets
from moe_planner.model import LatentAttention
from moe_planner.rules import check_inputs
from tests.moe_planner.inputs import GIB, SHAPE, WORKLOAD, hardware

LATENT = LatentAttention(kv_rank=512, query_rank=0, rope_dim=64, nope_dim=128, value_dim=128)
GPU = Gpu(name="own", flops=(("float32", 1e12),), memory_bandwidth=1e12)
CORRECTION = Correction(name="Decode step", factor=1.5, num_samples=3, error=0.1)


def refused(**inputs: Any) -> PlanError:
    """The error of the small valid inputs with others in their places."""
    valid: dict[str, Any] = {
        "shape": SHAPE,
        "hardware": hardware(),
        "workload": WORKLOAD,
        "constraints": Constraints(),
        "targets": Targets(),
        "loads": Loads(),
        "calibration": Calibration(),
    }
    check_inputs(**valid)
    given = {**valid, **inputs}
    positional = [given.pop(name) for name in ("shape", "hardware", "workload", "constraints")]
    with pytest.raises(PlanError) as caught:
        check_inputs(*positional, **given)
    error = caught.value
    assert all(str(part).strip() for part in (error.field, error.value, error.rule, error.remedy))
    return error


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"layers": 0}, "model.shape.layers"),
        ({"layers": 10**6}, "model.shape.layers"),
        ({"layers": 2.0}, "model.shape.layers"),
        ({"layers": True}, "model.shape.layers"),
        ({"layers": None}, "model.shape.layers"),
        ({"hidden": -64}, "model.shape.hiddenSize"),
        ({"hidden": "64"}, "model.shape.hiddenSize"),
        ({"hidden": 10**400}, "model.shape.hiddenSize"),
        ({"vocab": -1}, "model.shape.vocabularySize"),
        ({"gated": 1}, "model.shape.gated"),
        ({"has_sinks": "no"}, "model.shape.attentionSinks"),
        ({"bytes_per_number": 0}, "model.dtype"),
        ({"expert_bits": math.nan}, "model.shape.expertBits"),
        ({"kv_bits": -1}, "model.shape.keyValueBits"),
        ({"projection_bits": 1000}, "model.shape.projectionBits"),
        ({"latent": replace(LATENT, kv_rank=0)}, "model.shape.latentAttention.keyValueRank"),
        ({"latent": replace(LATENT, query_rank=-1)}, "model.shape.latentAttention.queryRank"),
        ({"dense_layers": [0]}, "model.shape.denseLayers"),
        ({"dense_layers": (16,), "dense_ffn": 8}, "model.shape.denseLayers"),
        ({"dense_layers": (1, 1), "dense_ffn": 8}, "model.shape.denseLayers"),
        ({"dense_layers": tuple(range(16)), "dense_ffn": 8}, "model.shape.denseLayers"),
        ({"dense_layers": (0,)}, "model.shape.denseFfnSize"),
        ({"window_layers": (0,)}, "model.shape.attentionWindow"),
        ({"window_layers": (-1,), "attention_window": 8}, "model.shape.windowLayers"),
        ({"experts": 16_384, "layers": 1024}, "model.shape.experts"),
        ({"experts_per_token": 17}, "model.shape.expertsPerToken"),
        ({"kv_heads": 3}, "model.shape.keyValueHeads"),
        ({"max_positions": 10_000}, "engine.maxSequenceLength"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    assert refused(shape=replace(SHAPE, **changes)).field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nodes": 0}, "hardware.nodes"),
        ({"nodes": ()}, "hardware.nodes"),
        ({"nodes": ("a", "a")}, "hardware.nodes"),
        ({"nodes": ("a", "")}, "hardware.nodes"),
        ({"nodes": ("a", None)}, "hardware.nodes"),
        ({"nodes": ["a"]}, "hardware.nodes"),
        ({"nodes": 10**7}, "hardware.nodes"),
        ({"nodes": 200_000, "gpus_per_node": 8}, "hardware.nodes"),
        ({"gpus_per_node": -8}, "hardware.gpusPerNode"),
        ({"gpu_memory_bytes": 0}, "hardware.gpuMemory"),
        ({"gpu_memory_bytes": 64.5}, "hardware.gpuMemory"),
        ({"gpu_memory_bytes": 1 << 70}, "hardware.gpuMemory"),
        ({"gpu": replace(GPU, flops=(("float32", math.inf),))}, "hardware.flops"),
        ({"gpu": replace(GPU, flops=((8, 1e12),))}, "hardware.flops"),
        ({"gpu": replace(GPU, flops={"float32": 1e12})}, "hardware.flops"),
        ({"gpu": replace(GPU, memory_bandwidth=0)}, "hardware.memoryBandwidth"),
        ({"inside": Link(bandwidth=-1, latency=0)}, "hardware.insideNode.bandwidth"),
        ({"between": Link(bandwidth=1e9, latency=-1e-6)}, "hardware.betweenNodes.latency"),
        ({"between": Link(bandwidth=1e9, latency=math.nan)}, "hardware.betweenNodes.latency"),
        ({"flops_efficiency": 1.2}, "hardware.flopsEfficiency"),
        ({"bandwidth_efficiency": 0.0}, "hardware.bandwidthEfficiency"),
        ({"places": (NodePlace(),)}, "hardware.places"),
        ({"places": (NodePlace(rack=3),) * 32}, "hardware.places"),  # type: ignore[arg-type]
        ({"bad_gpus": frozenset({("node-32", 0)})}, "hardware.badGpus"),
        ({"bad_gpus": frozenset({("node-0", 8)})}, "hardware.badGpus"),
        ({"bad_gpus": frozenset({"node-0"})}, "hardware.badGpus"),
        ({"bad_gpus": (("node-0", 0),)}, "hardware.badGpus"),
        ({"nodes": 1, "gpus_per_node": 1, "bad_gpus": frozenset({("node-0", 0)})}, "hardware.badGpus"),
    ],
)
def test_hardware_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    assert refused(hardware=replace(hardware(), **changes)).field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"batch_size": 0}, "workload.batchSize"),
        ({"min_sequence_length": 600}, "workload.minSequenceLength"),
        ({"max_sequence_length": 4000}, "workload.maxSequenceLength"),
        ({"lanes_per_rank": -1}, "engine.lanesPerRank"),
        ({"step_tokens": 1.5}, "engine.maxStepTokens"),
        ({"steps_in_flight": 0}, "engine.maxStepsInFlight"),
        ({"kv_tokens_per_lane": 10**16}, "engine.blocksPerLane"),
        ({"requests_per_second": 0.0}, "workload.requestsPerSecond"),
        ({"requests_per_second": math.inf}, "workload.requestsPerSecond"),
    ],
)
def test_a_workload_that_cannot_be_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    assert refused(workload=replace(WORKLOAD, **changes)).field == field


@pytest.mark.parametrize(
    ("targets", "field"),
    [
        (Targets(time_to_first_token=0.0), "targets.timeToFirstToken"),
        (Targets(time_per_output_token=math.nan), "targets.timePerOutputToken"),
        (Targets(prefill_throughput_per_gpu=-1.0), "targets.prefillThroughputPerGpu"),
        (Targets(decode_throughput_per_gpu=math.inf), "targets.decodeThroughputPerGpu"),
        (Targets(memory_share=2.0), "targets.memoryShare"),
        (Targets(flops_share="60%"), "targets.flopsShare"),  # type: ignore[arg-type]
    ],
)
def test_an_impossible_target_is_refused_by_its_field(targets: Targets, field: str) -> None:
    assert refused(targets=targets).field == field


@pytest.mark.parametrize(
    ("loads", "field"),
    [
        (Loads(kind="pareto"), "workload.expertLoad.kind"),  # type: ignore[arg-type]
        (Loads(kind="zipf", zipf_exponent=-1.0), "workload.expertLoad.exponent"),
        (Loads(kind="zipf", zipf_exponent=1e6), "workload.expertLoad.exponent"),
        (Loads(kind="measured"), "loads"),
        (Loads(kind="uniform", counts=((1.0,),)), "loads"),
        (Loads(kind="measured", counts=((1.0, -1.0),)), "loads"),
        (Loads(kind="measured", counts=((math.nan,),)), "loads"),
        (Loads(kind="measured", counts=(7,)), "loads"),  # type: ignore[arg-type]
    ],
)
def test_loads_that_are_none_are_refused(loads: Loads, field: str) -> None:
    assert refused(loads=loads).field == field


@pytest.mark.parametrize("changes", [{"factor": 0.0}, {"factor": math.nan}, {"error": -0.1}, {"num_samples": 0}])
def test_a_correction_that_corrects_nothing_is_refused(changes: dict[str, Any]) -> None:
    wrong = Calibration(corrections=(replace(CORRECTION, **changes),))
    assert refused(calibration=wrong).field == "measured.Decode step"


@pytest.mark.parametrize(
    ("constraints", "field"),
    [
        (Constraints(expert=0), "parallelism.expert"),
        (Constraints(expert=16.0), "parallelism.expert"),  # type: ignore[arg-type]
        (Constraints(expert=10**9), "parallelism.expert"),
        (Constraints(expert=256, pipeline=16), "parallelism.expert"),
        (Constraints(expert=12), "parallelism.expert"),
        (Constraints(pipeline=17), "parallelism.pipeline"),
        (Constraints(data=2), "parallelism.data"),
        (Constraints(replicas=0), "replicas"),
        (Constraints(objective="best"), "parallelism.objective"),  # type: ignore[arg-type]
        (Constraints(copies=0), "experts.copies"),
        (Constraints(copies=9, expert=8), "experts.copies"),
        (Constraints(spare_copies=-1), "experts.spareCopies"),
        (Constraints(survive="rack"), "experts.survive"),  # type: ignore[arg-type]
        (Constraints(copies_of=((256, 2),)), "experts.copiesOf"),
        (Constraints(copies_of=((0, 0),)), "experts.copiesOf"),
        (Constraints(copies_of=((0, 2), (0, 3))), "experts.copiesOf"),
        (Constraints(copies_of=(5,)), "experts.copiesOf"),  # type: ignore[arg-type]
    ],
)
def test_constraints_that_cannot_be_are_refused_by_their_field(constraints: Constraints, field: str) -> None:
    assert refused(constraints=constraints).field == field


def test_a_stage_is_as_wide_as_its_fewest_experts_where_layers_are_dense() -> None:
    """The first of two stages has five layers of 16 experts."""
    shape = replace(SHAPE, dense_layers=(0, 1, 2), dense_ffn=64)
    error = refused(shape=shape, constraints=Constraints(pipeline=2, expert=88))
    assert error.rule == "is the expert ranks of one stage, and with 2 stages a stage has 80 experts"
    assert refused(shape=shape, constraints=Constraints(copies_of=((3, 2),))).rule == (
        "names an expert of a layer that has none"
    )


def test_the_documents_expert_parallelism_is_answered_with_its_meaning() -> None:
    error = refused(constraints=Constraints(expert=256, pipeline=16))
    assert error.remedy == "use at most 16 (256 expert ranks over 16 stages are 16 per stage), or auto"


def test_an_error_never_fails_to_print_its_value() -> None:
    assert str(refused(shape=replace(SHAPE, hidden=10**5000))) == (
        "model.shape.hiddenSize = about 2^16610: must be at most 1000000000; write the true number"
    )
    assert refused(hardware=replace(hardware(), gpu_memory_bytes=-(10**5000))).value == "about -2^16610"


def test_sane_extremes_are_taken() -> None:
    check_inputs(
        replace(SHAPE, expert_bits=4.25, vocab=0, latent=LATENT),
        replace(hardware(memory=GIB), gpu=GPU, inside=Link(bandwidth=1e9, latency=0), flops_efficiency=1),
        replace(WORKLOAD, requests_per_second=0.001),
        Constraints(expert=16, pipeline=16, copies=2, spare_copies=5, copies_of=((255, 3),), survive="node"),
        targets=Targets(memory_share=1.0, time_to_first_token=1e-6),
        loads=Loads(kind="measured", counts=((0.0,) * 16,) * 16),
        calibration=Calibration(corrections=(CORRECTION,)),
    )
