"""A checkpoint's config.json as its family reads it: values by key, or a CheckpointError that names the key."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moe_worker.model.errors import CheckpointError
from moe_worker.model.rotary import Rotary, Yarn, yarn_magnitude


class ConfigFile:
    """The JSON object of `folder`/config.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._raw: Mapping[str, Any] = {}

    def open(self) -> None:
        """Reads the file; raises CheckpointError when it is missing or broken."""
        self._raw = _read_json(self.folder)

    @property
    def family(self) -> object:
        """The model_type."""
        return self._raw.get("model_type")

    def check_packing(self, packings: Sequence[str]) -> None:
        """Raises CheckpointError where weights are quantised, but by one of these methods."""
        method, known = self.packing, " or ".join(("plain numbers", *packings))
        if method is not None and method not in packings:
            raise CheckpointError(
                f"{self.folder}/config.json has quantization_config with quant_method {method!r}",
                f"this worker reads weights of {self.family} that are {known}",
                "use a checkpoint without quantization_config, saved in bfloat16",
            )

    @property
    def packing(self) -> str | None:
        """How weights are quantised, by quantization_config.quant_method; None where they are plain numbers."""
        said = self._raw.get("quantization_config")
        if not said:
            return None
        return str(said.get("quant_method") if isinstance(said, Mapping) else said)

    def number(self, key: str) -> int:
        """A positive whole number that must be there."""
        value = self._raw.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"{self.folder}/config.json has {key} {value!r}",
                f"{key} is a positive whole number",
                "copy config.json again",
            )
        return value

    def number_or(self, key: str, default: int) -> int:
        """A positive whole number, or `default` where there is none or null."""
        return default if self._raw.get(key) is None else self.number(key)

    def count(self, key: str) -> int:
        """A whole number that may be 0, which it is where there is none."""
        return self.number(key) if self._raw.get(key) else 0

    def real(self, key: str, default: float) -> float:
        """A number, or `default` where there is none or null."""
        value = self._raw.get(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise CheckpointError(
                f"{self.folder}/config.json has {key} {value!r}", f"{key} is a number", "copy config.json again"
            )
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._raw.get(key)
        return default if value is None else bool(value)

    def value(self, key: str) -> Any:
        """Whatever is there; None where nothing is."""
        return self._raw.get(key)

    def refuse(self, key: str, is_used: bool) -> None:
        """Raises CheckpointError where an option is used that would change the numbers and is not computed."""
        if is_used:
            raise CheckpointError(
                f"{self.folder}/config.json has {key} {self._raw.get(key)!r}",
                f"this worker computes {self.family} without {key} of that value",
                "use a checkpoint without it",
            )

    def require(self, key: str, value: object) -> None:
        """Raises CheckpointError where an option is there and is anything but `value`."""
        self.refuse(key, self._raw.get(key, value) not in (value, None))

    def rotary(self, dim: int, theta: float = 10000.0) -> Rotary:
        """The rotary embedding of heads of that width, under the keys of transformers 5 (`rope_parameters`) or 4.

        `theta` is the family's base where the file has none.
        """
        options = self._raw.get("rope_parameters") or self._raw.get("rope_scaling") or {}
        kind = options.get("rope_type", options.get("type", "default"))
        if kind not in ("default", "yarn"):
            raise CheckpointError(
                f"{self.folder}/config.json has rope type {kind!r}",
                "this worker computes rope types 'default' and 'yarn'",
                "remove the scaling from config.json (and serve shorter prompts), or use another checkpoint",
            )
        base = float(options.get("rope_theta", self._raw.get("rope_theta") or theta))
        return Rotary(dim=dim, theta=base, yarn=self._yarn(options) if kind == "yarn" else None)

    def _yarn(self, options: Mapping[str, Any]) -> Yarn:
        try:
            factor, original = float(options["factor"]), int(options["original_max_position_embeddings"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder}/config.json stretches its rotary embedding with {dict(options)}",
                "yarn needs factor and original_max_position_embeddings",
                "copy config.json again",
            ) from error
        some, every, magnitude = (options.get(key) for key in ("mscale", "mscale_all_dim", "attention_factor"))
        if magnitude is None:
            magnitude = yarn_magnitude(factor, 1.0)
            if some and every:
                magnitude = yarn_magnitude(factor, some) / yarn_magnitude(factor, every)
        return Yarn(
            factor=factor,
            original_positions=original,
            beta_fast=float(options.get("beta_fast") or 32),
            beta_slow=float(options.get("beta_slow") or 1),
            is_truncated=bool(options.get("truncate", True)),
            magnitude=float(magnitude),
            score_magnitude=yarn_magnitude(factor, every) if every else 1.0,
        )


def _read_json(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    if not folder.is_dir():
        raise CheckpointError(
            f"no folder {folder}", "spec.model.source names the checkpoint's folder", "put the checkpoint there"
        )
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no file {path}", "a checkpoint has a config.json", "copy the whole Hugging Face folder"
        ) from error
    except ValueError as error:
        found = f"{path} is no JSON ({error})"
        raise CheckpointError(found, "config.json is a JSON object", "copy it again") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds no object", "config.json is a JSON object", "copy it again")
    return raw
