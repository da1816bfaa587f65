"""`kubectl-moe init`: a MoEDeployment for a model's folder, as text to edit. Reads nothing but the config."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from moe_api import names
from moe_kubectl.declared import declared_model, held_shape
from moe_kubectl.errors import CommandError
from moe_kubectl.files import load_deployment
from moe_planner.errors import PlanError

_BLOCK = 16
# By model_type: the packings that the workers unpack; what else is packed they refuse, after the pods have started.
_UNPACKED = {"gpt_oss": ("mxfp4",)}
_MOST_SEQUENCE = 8192
_HEAD = """\
# Written by kubectl-moe init. See what it comes to: kubectl-moe plan -f FILE
# Look at: the volume with the checkpoint, hardware, workload, targets.
"""


def initial_deployment(config: Mapping[str, Any], *, name: str, folder: str, hardware: Mapping[str, Any]) -> str:
    """The YAML. Raises PlanError for a config of no known family, or of numbers packed in a way that no worker reads,
    and CommandError for a name that cannot be one.
    """
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) or len(name) > names.MAX_DEPLOYMENT_NAME:
        raise CommandError(
            f"--name {name}: names are lower-case letters, digits and dashes, at most {names.MAX_DEPLOYMENT_NAME} "
            "of them; give another name"
        )
    _check_packing(config)
    values = _values(config, name, folder, hardware)
    load_deployment(values, "the MoEDeployment")
    return _HEAD + yaml.safe_dump(values, sort_keys=False, width=120)


def name_of(folder: str) -> str:
    """A resource's name from a folder's: "Qwen3-30B-A3B" -> "qwen3-30b-a3b"."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")
    return plain[: names.MAX_DEPLOYMENT_NAME].strip("-") or "model"


def _values(config: Mapping[str, Any], name: str, folder: str, hardware: Mapping[str, Any]) -> dict[str, Any]:
    longest = min(held_shape(config).max_positions, _MOST_SEQUENCE)
    blocks = -(-2 * longest // _BLOCK)
    claim = {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.DEPLOYMENT_KIND,
        "metadata": {"name": name},
        "spec": {
            "model": {"source": {"volume": claim, "path": folder}, **declared_model(config)},
            "hardware": dict(hardware),
            "workload": {"batchSize": 64, "minSequenceLength": 128, "maxSequenceLength": longest},
            "targets": {"timeToFirstToken": "10s", "timePerOutputToken": "100ms"},
            "engine": {"blockSize": _BLOCK, "blocksPerLane": blocks, "maxSequenceLength": longest},
        },
    }


def _check_packing(config: Mapping[str, Any]) -> None:
    """Raises PlanError where the workers would refuse the checkpoint."""
    packing = config.get("quantization_config")
    if not packing:
        return
    method = packing.get("quant_method") if isinstance(packing, Mapping) else packing
    read = _UNPACKED.get(str(config.get("model_type")), ())
    if method not in read:
        field, numbers = "model.config.quantization_config.quant_method", " or ".join(("plain numbers", *read))
        rule = f"the workers read weights of {config.get('model_type')} that are {numbers}"
        remedy = (
            "use a checkpoint saved in bfloat16, without quantization_config (kubectl-moe plan --model counts this one)"
        )
        raise PlanError(field, method, rule, remedy)
