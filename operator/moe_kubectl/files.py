"""Reads what the command is given: manifests, planning files, folders of models. Every mistake is a CommandError."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from moe_api import names, problems
from moe_api.deployment import MoEDeployment
from moe_kubectl.errors import CommandError
from moe_planner.planfile import quote_limits
from moe_planner.planning_file import BLOCKS

_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a plan is made of: a MoEDeployment's values, or those of a bare planning file. `name` is for people.

    `is_file` is False where flags alone say what is planned.
    """

    name: str
    kind: Literal["deployment", "planning"]
    values: dict[str, Any]
    is_file: bool = True


def read_source(file: str) -> Source:
    """The one MoEDeployment among the file's documents, or the planning file that it is; "-" reads stdin."""
    name = "stdin" if file == "-" else file
    documents = [d for d in read_documents(file) if isinstance(d, dict)]
    found = [d for d in documents if d.get("kind") == names.DEPLOYMENT_KIND]
    plain = [d for d in documents if set(BLOCKS) & set(d)]
    if len(found) == 1:
        return Source(name=name, kind="deployment", values=found[0])
    if not found and len(plain) == 1:
        return Source(name=name, kind="planning", values=plain[0])
    raise CommandError(
        f"{name} has {len(found)} objects of kind {names.DEPLOYMENT_KIND}; give a file with exactly one, "
        f"e.g. examples/reference.yaml, or a planning file with {', '.join(BLOCKS)}"
    )


def load_deployment(values: Mapping[str, Any], name: str) -> MoEDeployment:
    """The MoEDeployment that the values are; each mistake is a line of its own."""
    try:
        return MoEDeployment.load(values)
    except ValidationError as error:
        raise CommandError(*(f"{name}: {p}" for p in problems.of_validation(error, MoEDeployment))) from error


def read_documents(file: str) -> list[Any]:
    """Plain JSON values: a YAML date is the text that it was, as it is for the API server."""
    name = "stdin" if file == "-" else file
    text = quote_limits(_text(file))
    try:
        documents = list(yaml.safe_load_all(text))
        return [json.loads(json.dumps(document, default=str)) for document in documents]
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CommandError(f"{name} is no YAML of an object: {reason}; correct it") from error


def read_config(folder: str) -> dict[str, Any]:
    """The config.json of a model's folder, or the file itself."""
    path = Path(folder)
    path = path / "config.json" if path.is_dir() else path
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CommandError(f"{path} is no config.json: it is too large; give the model's folder")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}; give a folder with a config.json") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is no JSON: {error}; give a Hugging Face model's folder") from error
    if not isinstance(config, dict):
        raise CommandError(f"{path} is no mapping of keys to values; give a Hugging Face model's folder")
    return config


def write_text(file: str, text: str) -> None:
    """Writes the file anew; "-" is stdout."""
    try:
        if file == "-":
            sys.stdout.write(text)
        else:
            Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}; give another path") from error


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}; give the path of a YAML file") from error
    except ValueError as error:
        reason = getattr(error, "reason", str(error))
        raise CommandError(f"{file} is no UTF-8 text ({reason}); give the path of a YAML file") from error
