"""The operator's own settings that end up in objects: the images of pods whose specs name none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """A variable of the operator's environment is missing or senseless."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Default container images."""

    worker: str
    gateway: str


def read_images(environ: Mapping[str, str]) -> Images:
    """From MOE_WORKER_IMAGE and MOE_GATEWAY_IMAGE; raises SettingsError naming the variable."""
    return Images(worker=_required(environ, "MOE_WORKER_IMAGE"), gateway=_required(environ, "MOE_GATEWAY_IMAGE"))


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(
            f"{name} is not set: pods need an image where a MoEDeployment names none;"
            " set it on the operator's Deployment"
        )
    return value
