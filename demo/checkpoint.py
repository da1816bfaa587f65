"""The checkpoint of a deployment, shipped or random, and the volume in which its pods see it."""

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from demo.cluster import Cluster, CommandError, run
from moe_api.deployment import MoEDeployment

MAKER = "moe_worker.make_checkpoint"
OPTIONS = {
    "layers": "layers",
    "experts": "experts",
    "experts-per-token": "experts_per_token",
    "hidden": "hidden_size",
    "heads": "heads",
    "kv-heads": "key_value_heads",
    "head-dim": "head_size",
    "ffn": "expert_ffn_size",
    "vocab": "vocabulary_size",
}
"""The maker's options, by the field of the shape that gives each its value."""
ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models"
VOLUME = ROOT / "examples" / "models-volume.yaml"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder in Hugging Face's format, inside the folder that becomes the volume."""

    volume: Path
    folder: Path


def prepare_checkpoint(deployment: MoEDeployment) -> Checkpoint:
    """The shipped one whose folder `deployment` names, else random weights of its shape, made once and then kept."""
    path = deployment.spec.model.source.path
    if (SHIPPED / path / "config.json").is_file():
        return Checkpoint(volume=SHIPPED, folder=SHIPPED / path)
    options = _options(deployment)
    volume = cache_folder() / "checkpoints" / _key(options)
    folder = volume / path
    if not folder.is_dir():
        run([sys.executable, "-m", MAKER, str(folder), *options], timeout=120)
    return Checkpoint(volume=volume, folder=folder)


def offer_volume(cluster: Cluster, checkpoint: Checkpoint) -> None:
    """Create the volume and the claim of the examples over the checkpoint's folder, in the cluster's namespace."""
    text = VOLUME.read_text().replace("${MODELS_DIR}", str(checkpoint.volume))
    volume, claim = yaml.safe_load_all(text)
    name = f"{cluster.namespace}-{claim['metadata']['name']}"
    volume["metadata"]["name"] = claim["spec"]["volumeName"] = name
    volume["spec"]["claimRef"]["namespace"] = claim["metadata"]["namespace"] = cluster.namespace
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([volume, claim]))


def read_example(path: Path) -> MoEDeployment:
    """The MoEDeployment in a file."""
    found = [one for one in yaml.safe_load_all(path.read_text()) if one and one["kind"] == "MoEDeployment"]
    return MoEDeployment.model_validate(found[0])


def _options(deployment: MoEDeployment) -> list[str]:
    shape = deployment.spec.model.shape
    options = {option: getattr(shape, field) for option, field in OPTIONS.items()}
    return [f"--{option}={value}" for option, value in options.items()]


def _key(options: list[str]) -> str:
    found = importlib.util.find_spec(MAKER)
    if found is None or found.origin is None:
        raise CommandError(f"{MAKER} is not installed: run `make setup`")
    return hashlib.sha256(Path(found.origin).read_bytes() + "\0".join(options).encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where the tour keeps what it makes."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moe-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
