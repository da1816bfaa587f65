"""What the pod's environment says, read once. The operator writes these variables into the gateway's Deployment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(ValueError):
    """A variable of the environment is missing or senseless."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One gateway process: whom it serves, where it listens, and its limits."""

    deployment: str
    namespace: str
    model_path: Path
    served_model: str
    secret_file: Path
    api_keys: Path | None
    host: str
    port: int
    pod_name: str
    pod_uid: str
    hold_seconds: float
    drain_seconds: float
    request_seconds: float
    max_sequence_length: int
    max_choices: int
    streams_per_lane: int
    max_body_bytes: int


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from the environment; raises SettingsError naming the variable."""
    deployment = _required(env, "MOE_DEPLOYMENT")
    return Settings(
        deployment=deployment,
        namespace=_required(env, "MOE_NAMESPACE"),
        model_path=Path(_required(env, "MODEL_PATH")),
        served_model=env.get("MOE_SERVED_MODEL") or deployment,
        secret_file=Path(env.get("MOE_SECRET_FILE") or "/var/run/moe/secret/key"),
        api_keys=Path(keys) if (keys := env.get("MOE_API_KEYS")) else None,
        host=env.get("POD_IP") or "0.0.0.0",
        port=int(_number(env, "MOE_PORT", 8000)),
        pod_name=env.get("POD_NAME", ""),
        pod_uid=env.get("POD_UID", ""),
        hold_seconds=_number(env, "MOE_HOLD_SECONDS", 30, least=0),
        drain_seconds=_number(env, "MOE_DRAIN_SECONDS", 25),
        request_seconds=_number(env, "MOE_REQUEST_SECONDS", 600, least=0.001),
        max_choices=int(_number(env, "MOE_MAX_CHOICES", 1024)),
        streams_per_lane=int(_number(env, "MOE_STREAMS_PER_LANE", 1)),
        max_sequence_length=int(_number(env, "MOE_MAX_SEQUENCE_LENGTH", 2048)),
        max_body_bytes=int(_number(env, "MOE_MAX_BODY_BYTES", 4 * 1024 * 1024)),
    )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise SettingsError(
            f"{name} is not set; the gateway cannot start without it. The operator sets it on the gateway's pods."
        )
    return value


def _number(env: Mapping[str, str], name: str, default: float, *, least: float = 1) -> float:
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < float("inf"):
        raise SettingsError(
            f"{name}={text!r} is not a number from {least:g} up; correct it or leave it out for {default:g}."
        )
    return value
