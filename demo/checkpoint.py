"""The tour's model, made once by its parameters and then found in the cache, and the volume in which pods see it."""

import hashlib
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from demo.cluster import Cluster, run
from moe_api.deployment import MoEDeployment

VOLUME = Path(__file__).resolve().parents[1] / "examples" / "models-volume.yaml"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A folder in Hugging Face's format, inside the folder that becomes the volume."""

    volume: Path
    folder: Path


def make_checkpoint(deployment: MoEDeployment) -> Checkpoint:
    """The checkpoint that `deployment` asks for: random weights of its shape. Made beside its place, then renamed."""
    options = _options(deployment)
    source = deployment.spec.model.source
    volume = _cache() / _key(options)
    folder = volume / source.path
    if not (folder / "config.json").is_file():
        draft = volume.with_name(f".{volume.name}.{os.getpid()}")
        run([sys.executable, "-m", "moe_worker.make_checkpoint", str(draft / source.path), *options], timeout=120)
        shutil.rmtree(volume, ignore_errors=True)
        draft.rename(volume)
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
    return [f"--{name.replace('_', '-')}={value}" for name, value in shape.model_dump(exclude_none=True).items()]


def _key(options: list[str]) -> str:
    found = importlib.util.find_spec("moe_worker.make_checkpoint")
    assert found is not None
    assert found.origin is not None
    return hashlib.sha256(Path(found.origin).read_bytes() + "\0".join(options).encode()).hexdigest()[:16]


def _cache() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moe-operator" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
