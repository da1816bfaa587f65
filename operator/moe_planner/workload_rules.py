"""What must hold of workload, targets, loads and measurements: sane numbers, and lengths that fit each other."""

from moe_planner.calibration import Calibration, Correction
from moe_planner.checks import check_is, check_items, check_one_of, check_real, check_whole
from moe_planner.errors import PlanError
from moe_planner.inputs import Loads, Targets, Workload
from moe_planner.limits import MOST_RATE, MOST_SECONDS, MOST_TOKENS, shown

_MOST_EXPONENT = 10
_MOST_FACTOR = 1e9
_MOST_OF_TARGET = {
    "time_to_first_token": ("targets.timeToFirstToken", MOST_SECONDS),
    "time_per_output_token": ("targets.timePerOutputToken", MOST_SECONDS),
    "prefill_throughput_per_gpu": ("targets.prefillThroughputPerGpu", MOST_RATE),
    "decode_throughput_per_gpu": ("targets.decodeThroughputPerGpu", MOST_RATE),
    "memory_share": ("targets.memoryShare", 1.0),
    "flops_share": ("targets.flopsShare", 1.0),
}


def check_workload(workload: Workload, max_positions: int) -> None:
    """Raises PlanError for the first rule that is broken. `max_positions`: what the model looks back on."""
    sizes = {
        "workload.batchSize": workload.batch_size,
        "workload.minSequenceLength": workload.min_sequence_length,
        "workload.maxSequenceLength": workload.max_sequence_length,
        "engine.lanesPerRank": workload.lanes_per_rank,
        "engine.maxStepTokens": workload.step_tokens,
        "engine.maxStepsInFlight": workload.steps_in_flight,
    }
    for field, value in sizes.items():
        check_whole(field, value)
    check_whole("engine.blocksPerLane", workload.kv_tokens_per_lane, most=MOST_TOKENS)
    if workload.requests_per_second is not None:
        check_real("workload.requestsPerSecond", workload.requests_per_second, most=MOST_RATE)
    _check_lengths(workload, max_positions)


def check_targets(targets: Targets) -> None:
    """Raises PlanError for a target that is no possible one."""
    for name, (field, most) in _MOST_OF_TARGET.items():
        value = getattr(targets, name)
        if value is not None:
            check_real(field, value, most=most)


def check_loads(loads: Loads) -> None:
    """Raises PlanError for loads that are none; whether they fit the model is asked where they become rates."""
    check_one_of("workload.expertLoad.kind", loads.kind, ("uniform", "zipf", "measured"))
    check_real("workload.expertLoad.exponent", loads.zipf_exponent, most=_MOST_EXPONENT, can_be_least=True)
    check_items("loads", loads.counts)
    if bool(loads.counts) != (loads.kind == "measured"):
        rule = "counts of experts are measured loads, and measured loads are counts"
        raise PlanError("loads", f"{loads.kind} with {len(loads.counts)} layers", rule, "give counts and kind measured")
    for row in loads.counts:
        check_items("loads", row)
        for number in row:
            check_real("loads", number, most=MOST_RATE, can_be_least=True)


def check_calibration(calibration: Calibration) -> None:
    """Raises PlanError for a correction that corrects nothing."""
    check_items("measured", calibration.corrections)
    for one in calibration.corrections:
        check_is("measured", one, Correction)
        check_is("measured", one.name, str)
        field = f"measured.{shown(one.name)}"
        check_real(field, one.factor, most=_MOST_FACTOR)
        check_real(field, one.error, most=_MOST_FACTOR, can_be_least=True)
        check_whole(field, one.num_samples)


def _check_lengths(workload: Workload, max_positions: int) -> None:
    shortest, longest = workload.min_sequence_length, workload.max_sequence_length
    if shortest > longest:
        raise PlanError(
            "workload.minSequenceLength",
            shortest,
            f"is longer than workload.maxSequenceLength = {longest}",
            f"use at most {longest}",
        )
    if longest > max_positions:
        raise PlanError(
            "workload.maxSequenceLength",
            longest,
            f"is longer than engine.maxSequenceLength = {max_positions}",
            f"use at most {max_positions}, or raise engine.maxSequenceLength",
        )
    if max_positions > workload.kv_tokens_per_lane:
        raise PlanError(
            "engine.maxSequenceLength",
            max_positions,
            f"does not fit the KV cache of one lane, blocksPerLane x blockSize = {workload.kv_tokens_per_lane} tokens",
            "raise engine.blocksPerLane or lower engine.maxSequenceLength",
        )
