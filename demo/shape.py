"""The tour's example as it is, or with the shape that its flags ask for: then with random weights."""

import argparse
from pathlib import Path
from typing import Any

import yaml

RANDOM = "random"
"""Name of the random model, and of its folder in the volume."""
FLAGS = {"layers": "layers", "experts": "experts", "hidden": "hiddenSize"}
"""The flags, by the field of spec.model.shape that each sets."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """--layers, --experts, --hidden."""
    for flag, field in FLAGS.items():
        text = f"spec.model.shape.{field} of a model with random weights, in place of the one that speaks"
        parser.add_argument(f"--{flag}", type=_positive, help=text)


def choose_example(example: Path, options: argparse.Namespace, folder: Path) -> Path:
    """`example` itself, or a copy of it in `folder` that the flags changed."""
    changes = {field: value for flag, field in FLAGS.items() if (value := getattr(options, flag)) is not None}
    if not changes:
        return example
    changed = folder / example.name
    changed.write_text(yaml.safe_dump(_with_shape(yaml.safe_load(example.read_text()), changes), sort_keys=False))
    return changed


def _with_shape(manifest: dict[str, Any], changes: dict[str, int]) -> dict[str, Any]:
    model = manifest["spec"]["model"]
    model["name"] = model["source"]["path"] = RANDOM
    # The random model's embeddings are two matrices, as the field says when it is left out.
    shape = {field: value for field, value in model["shape"].items() if field != "tiedEmbeddings"}
    model["shape"] = {**shape, **changes}
    model["shape"]["expertsPerToken"] = min(shape["expertsPerToken"], model["shape"]["experts"])
    return manifest


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write a whole number of 1 or more")
    return int(text)
