"""The planner's refusals in a planning file's words: its rules name fields as a MoEDeployment's spec does."""

import re

from moe_planner.errors import PlanError

_WORDS = {
    "parallelism.expert": "parallel_strategy.ep",
    "parallelism.pipeline": "parallel_strategy.pp",
    "parallelism.tensor": "parallel_strategy.tp",
    "parallelism.sequence": "parallel_strategy.sp",
    "parallelism.data": "parallel_strategy.dp",
    "engine.blocksPerLane": "workload.kv_tokens_per_lane",
    "blocksPerLane x blockSize": "kv_tokens_per_lane",
    "engine.maxSequenceLength": "workload.max_sequence_length",
    "engine.lanesPerRank": "workload.lanes_per_rank",
    "engine.maxStepTokens": "workload.step_tokens",
    "engine.maxStepsInFlight": "workload.steps_in_flight",
    "targets.timeToFirstToken": "performance_targets.ttft",
    "targets.timePerOutputToken": "performance_targets.decode_latency",
    "targets.prefillThroughputPerGpu": "performance_targets.prefill_throughput",
    "targets.decodeThroughputPerGpu": "performance_targets.decode_throughput",
    "targets.memoryShare": "performance_targets.memory_utilization",
    "targets.flopsShare": "performance_targets.mfu",
    "model.shape.denseFfnSize": "model.config",
    "model.shape.denseLayers": "model.config",
}
_EXACT = re.compile("|".join(map(re.escape, _WORDS)))
# The other fields differ in the way that words are joined only: workload.batchSize and workload.batch_size.
_JOINED = re.compile(r"\b(?P<part>model|hardware|workload)\.(?:shape\.)?(?P<name>[a-z]+[A-Za-z.]*)")
_CAPITAL = re.compile(r"[A-Z]")


def in_words_of_file(error: PlanError) -> PlanError:
    """The same error for the author of a planning file."""
    field = "parallel_strategy.dp" if error.field == "replicas" else _reworded(error.field)
    return PlanError(field, error.value, _reworded(error.rule), _reworded(error.remedy))


def _reworded(text: str) -> str:
    return _JOINED.sub(_snake, _EXACT.sub(lambda found: _WORDS[found.group()], text))


def _snake(found: re.Match[str]) -> str:
    name = _CAPITAL.sub(lambda letter: f"_{letter.group().lower()}", found["name"])
    return f"{found['part']}.{name}"
