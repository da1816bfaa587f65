"""Rules that span fields, as the API server checks them (CEL). Each names value, rule and remedy in its message."""

from typing import Any


def rule(holds: str, message: str, field: str) -> dict[str, str]:
    """One x-kubernetes-validations entry; `message` is a CEL expression too. `field` is the path that is to blame."""
    return {"rule": holds, "messageExpression": message, "fieldPath": field, "reason": "FieldValueInvalid"}


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    """For a model's `json_schema_extra`."""
    return {"x-kubernetes-validations": list(rules)}


SHAPE = validations(
    rule(
        "self.expertsPerToken <= self.experts",
        "string(self.expertsPerToken) + ' experts per token cannot be chosen from ' + string(self.experts)"
        " + ' experts; use at most ' + string(self.experts)",
        ".expertsPerToken",
    ),
    rule(
        "self.heads % self.keyValueHeads == 0",
        "string(self.keyValueHeads) + ' key and value heads do not divide ' + string(self.heads)"
        " + ' query heads; use a divisor of ' + string(self.heads)",
        ".keyValueHeads",
    ),
)

ENGINE = validations(
    rule(
        "self.maxSequenceLength <= self.blockSize * self.blocksPerLane",
        "string(self.maxSequenceLength) + ' tokens do not fit the KV cache of one lane, blockSize x blocksPerLane = '"
        " + string(self.blockSize * self.blocksPerLane) + '; raise blocksPerLane or lower maxSequenceLength'",
        ".maxSequenceLength",
    ),
)

WORKLOAD = validations(
    rule(
        "!has(self.maxSequenceLength) || self.minSequenceLength <= self.maxSequenceLength",
        "string(self.minSequenceLength) + ' is more than maxSequenceLength = ' + string(self.maxSequenceLength)"
        " + '; use at most ' + string(self.maxSequenceLength)",
        ".minSequenceLength",
    ),
)

DEPLOYMENT_SPEC = validations(
    rule(
        "!has(self.workload.maxSequenceLength) || self.workload.maxSequenceLength <= self.engine.maxSequenceLength",
        "string(self.workload.maxSequenceLength) + ' is more than spec.engine.maxSequenceLength = '"
        " + string(self.engine.maxSequenceLength) + '; lower it, or raise spec.engine.maxSequenceLength'",
        ".workload.maxSequenceLength",
    ),
    rule(
        "type(self.parallelism.data) == string || self.parallelism.data == self.replicas",
        "'data parallelism ' + string(self.parallelism.data) + ' differs from spec.replicas = '"
        " + string(self.replicas) + '; use auto, or set both to the same number'",
        ".parallelism.data",
    ),
    rule(
        "type(self.parallelism.pipeline) == string || self.parallelism.pipeline <= self.model.shape.layers",
        "string(self.parallelism.pipeline) + ' stages need a layer each, and the model has '"
        " + string(self.model.shape.layers) + '; use at most ' + string(self.model.shape.layers) + ', or auto'",
        ".parallelism.pipeline",
    ),
    rule(
        "type(self.parallelism.expert) == string || type(self.parallelism.pipeline) == string"
        " || self.parallelism.expert * self.parallelism.pipeline * self.replicas"
        " <= self.hardware.nodes * self.hardware.gpusPerNode",
        "string(self.hardware.nodes) + ' nodes x ' + string(self.hardware.gpusPerNode) + ' GPUs are fewer than expert x '"
        " + 'pipeline x replicas = ' + string(self.parallelism.expert * self.parallelism.pipeline * self.replicas)"
        " + ' ranks (parallelism.expert counts the ranks of one stage); add nodes, or use auto'",
        ".hardware.nodes",
    ),
)

DEPLOYMENT = validations(
    rule(
        "self.metadata.name.size() <= 40",
        "'the name has ' + string(self.metadata.name.size())"
        " + ' characters, and the names of its pods must fit 63; use at most 40'",
        ".metadata.name",
    ),
)
