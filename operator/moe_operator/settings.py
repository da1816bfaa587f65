"""The operator's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moe_operator.desire.settings import Images, SettingsError, read_images

HEALTH_PORT = 8081
METRICS_PORT = 8082


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`health_address` is the host on which /healthz and /metrics are served, "" outside of a pod."""

    images: Images
    tick_seconds: float
    health_address: str
    log_level: str


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError naming the variable."""
    return Settings(
        images=read_images(environ),
        tick_seconds=_seconds(environ, "MOE_TICK_SECONDS", 5.0),
        health_address=environ.get("POD_IP", ""),
        log_level=environ.get("MOE_LOG_LEVEL", "INFO").upper(),
    )


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "")
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise SettingsError(f"{name}={text!r} is no number of seconds from 0.1 to 3600; correct it or leave it out")
    return seconds
