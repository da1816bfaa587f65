"""What a pod's environment says, read once by main() and passed down. All that can change is in the MoEStage
instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moe_api import names
from moe_worker.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class PodSettings:
    """One pod's supervisor: which stage object it obeys, who it is, and where its files are."""

    namespace: str
    stage_object: str
    deployment: str
    node_rank: int
    pod_name: str
    pod_uid: str
    pod_ip: str
    node_name: str
    model_path: Path
    secret_file: Path
    state_dir: Path
    probe_port: int = names.WORKER_PROBE_PORT
    cpu_devices: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "PodSettings":
        """Raises SettingsError, which names the variable."""
        return cls(
            namespace=_text(env, "MOE_NAMESPACE"),
            stage_object=_text(env, "MOE_STAGE"),
            deployment=_text(env, "MOE_DEPLOYMENT"),
            node_rank=_number(env, "NODE_RANK"),
            pod_name=_text(env, "POD_NAME"),
            pod_uid=_text(env, "POD_UID"),
            pod_ip=_text(env, "POD_IP"),
            node_name=_text(env, "NODE_NAME"),
            model_path=Path(_text(env, "MODEL_PATH")),
            secret_file=Path(env.get("MOE_SECRET_FILE", f"{names.SECRET_MOUNT}/{names.DATA_PATH_KEY}")),
            state_dir=Path(env.get("MOE_STATE_DIR", names.STATE_MOUNT)),
            probe_port=_number(env, "MOE_PROBE_PORT", names.WORKER_PROBE_PORT),
            cpu_devices=tuple(part for part in env.get("MOE_CPU_DEVICES", "").split(",") if part),
        )


def _text(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set; a worker runs in a pod that the operator made, which sets it")
    return value


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    if default is not None and not env.get(name):
        return default
    value = _text(env, name)
    if not value.isascii() or not value.isdigit():
        raise SettingsError(f"{name} is {value!r}; it must be a number from 0; the operator sets it")
    return int(value)
