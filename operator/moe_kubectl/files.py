"""Reads the MoEDeployment out of a YAML or JSON file. Whatever is wrong with it becomes a CommandError."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from moe_api import names, problems
from moe_api.deployment import MoEDeployment
from moe_kubectl.errors import CommandError


def read_deployment(file: str) -> MoEDeployment:
    """The one MoEDeployment among the file's documents; "-" reads stdin."""
    text = _text(file)
    file = "stdin" if file == "-" else file
    found = [d for d in _documents(text, file) if isinstance(d, dict) and d.get("kind") == names.DEPLOYMENT_KIND]
    if len(found) != 1:
        raise CommandError(
            f"{file} has {len(found)} objects of kind {names.DEPLOYMENT_KIND}; give a file with exactly one, "
            "e.g. examples/reference.yaml"
        )
    try:
        return MoEDeployment.load(found[0])
    except ValidationError as error:
        raise CommandError(*(f"{file}: {p}" for p in problems.of_validation(error, MoEDeployment))) from error


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}; give the path of a YAML file") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is no UTF-8 text ({error.reason}); give the path of a YAML file") from error


def _documents(text: str, file: str) -> list[Any]:
    """Plain JSON values: a YAML date is the text that it was, as it is for the API server."""
    try:
        documents = list(yaml.safe_load_all(text))
        return [json.loads(json.dumps(document, default=str)) for document in documents]
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CommandError(f"{file} is no YAML of an object: {reason}; correct it") from error
