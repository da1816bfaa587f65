"""Rules that span fields, as the API server checks them (CEL). Each names value, rule and remedy in its message."""

from typing import Any

NO_DEGREE = "is no degree of parallelism; use auto or a number from 1 to 65536"
NO_QUANTITY = "is no quantity of bytes; write a number and a unit, e.g. 64Gi or 80G"
NO_DURATION = "is no duration; write numbers with units h, m, s, ms or us, e.g. 10s or 1m30s"
NO_RATE = "is no rate; write units per second with k, M, G or T, e.g. 50G or 989T"
NO_MOMENT = "is no point in time; write e.g. 2026-01-31T08:00:00Z"
NO_FOLDER = "is no relative folder inside the volume; write e.g. models/qwen3-moe"


def rule(holds: str, message: str, *values: str, field: str = "") -> dict[str, str]:
    """One x-kubernetes-validations entry: `values` are CEL expressions put into the message's %s.

    `field` is the path that is to blame. (Concatenation instead of format would exceed the API server's cost budget.)
    """
    blamed = {"fieldPath": field} if field else {}
    words = {"messageExpression": f"'{message}'.format([{', '.join(values)}])"} if values else {"message": message}
    return {"rule": holds, **words, **blamed, "reason": "FieldValueInvalid"}


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    """For a model's `json_schema_extra`."""
    return {"x-kubernetes-validations": list(rules)}


def text(pattern: str, message: str) -> dict[str, Any]:
    """A text of a form: says what to write instead, which a schema's `pattern` does not."""
    escaped = pattern.replace("\\", "\\\\")
    return validations(rule(f"self.matches('{escaped}')", f"%s {message}", "self"))


DEGREE = rule(
    "type(self) == string ? self == 'auto' : self >= 1 && self <= 65536",
    f"%s {NO_DEGREE}",
    "self",
)

SHAPE = validations(
    rule(
        "self.expertsPerToken <= self.experts",
        "%s experts per token cannot be chosen from %s experts; use at most %s",
        *("self.expertsPerToken", "self.experts", "self.experts"),
        field=".expertsPerToken",
    ),
    rule(
        "self.heads % self.keyValueHeads == 0",
        "%s key and value heads do not divide %s query heads; use a divisor of %s",
        *("self.keyValueHeads", "self.heads", "self.heads"),
        field=".keyValueHeads",
    ),
)

HARDWARE = validations(
    rule(
        "has(self.gpuMemory) || has(self.profile)",
        "the GPUs memory is not known; write gpuMemory, or profile, e.g. h100-sxm, which knows it",
        field=".gpuMemory",
    ),
)

ENGINE = validations(
    rule(
        "self.maxSequenceLength <= self.blockSize * self.blocksPerLane",
        "%s tokens do not fit the KV cache of one lane, blockSize x blocksPerLane = %s tokens; "
        "raise blocksPerLane or lower maxSequenceLength",
        *("self.maxSequenceLength", "self.blockSize * self.blocksPerLane"),
        field=".maxSequenceLength",
    ),
)

WORKLOAD = validations(
    rule(
        "!has(self.maxSequenceLength) || self.minSequenceLength <= self.maxSequenceLength",
        "%s is more than maxSequenceLength = %s; use at most %s",
        *("self.minSequenceLength", "self.maxSequenceLength", "self.maxSequenceLength"),
        field=".minSequenceLength",
    ),
)

DEPLOYMENT_SPEC = validations(
    rule(
        "!has(self.workload.maxSequenceLength) || self.workload.maxSequenceLength <= self.engine.maxSequenceLength",
        "%s is more than spec.engine.maxSequenceLength = %s; lower it, or raise spec.engine.maxSequenceLength",
        *("self.workload.maxSequenceLength", "self.engine.maxSequenceLength"),
        field=".workload.maxSequenceLength",
    ),
    rule(
        "type(self.parallelism.data) == string || self.replicas == 0 || self.parallelism.data == self.replicas",
        "data parallelism %s differs from spec.replicas = %s; use auto, or set both to the same number",
        *("self.parallelism.data", "self.replicas"),
        field=".parallelism.data",
    ),
    rule(
        "type(self.parallelism.pipeline) == string || self.parallelism.pipeline <= self.model.shape.layers",
        "%s stages need a layer each, and the model has %s; use at most %s, or auto",
        *("self.parallelism.pipeline", "self.model.shape.layers", "self.model.shape.layers"),
        field=".parallelism.pipeline",
    ),
    rule(
        "type(self.parallelism.expert) == string || type(self.parallelism.pipeline) == string"
        " || self.parallelism.expert * self.parallelism.pipeline * self.replicas"
        " <= self.hardware.nodes * self.hardware.gpusPerNode",
        "%s nodes x %s GPUs are fewer than expert %s x pipeline %s x replicas %s "
        "(expert counts the ranks of one stage); add nodes, lower a degree, or use auto",
        "self.hardware.nodes",
        "self.hardware.gpusPerNode",
        *("self.parallelism.expert", "self.parallelism.pipeline", "self.replicas"),
        field=".hardware.nodes",
    ),
)

DEPLOYMENT = validations(
    rule(
        "self.metadata.name.size() <= 40",
        "metadata.name has %s characters, and the names of its pods must fit 63; use at most 40",
        "self.metadata.name.size()",
    ),
)
