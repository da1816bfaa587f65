"""Tensors by name from a folder of safetensors files, mapped when first needed: only what is asked for is read.

Knows files, names and shapes, and nothing of what the tensors mean. Never writes.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from moe_worker.model.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
COPY_AGAIN = "copy the checkpoint again, whole"


class Checkpoint:
    """The tensors of one folder as private copies of one number type on one device."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        self.folder = folder
        self.dtype = dtype
        self.bytes_read = 0
        self._device = device
        self._files: dict[str, str] = {}
        self._open: dict[str, Any] = {}

    def open(self) -> None:
        """Reads the index; raises CheckpointError when there is none or a file that it names is missing."""
        index = self.folder / INDEX
        if index.is_file():
            self._files = self._read_index(index)
        elif (self.folder / SINGLE).is_file():
            self._files = dict.fromkeys(self._mapped(SINGLE).keys(), SINGLE)
        else:
            raise CheckpointError(
                f"{self.folder} has neither {INDEX} nor {SINGLE}",
                "a checkpoint holds its tensors in safetensors files",
                "copy the whole Hugging Face folder (.bin checkpoints have to be converted)",
            )
        for file in sorted(set(self._files.values())):
            if not (self.folder / file).is_file():
                raise CheckpointError(f"no file {self.folder / file}", f"{INDEX} names it", COPY_AGAIN)

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """A private copy of one tensor; raises CheckpointError when it is missing, cut off, or of another shape."""
        if name not in self._files:
            raise CheckpointError(f"no tensor {name} in {self.folder}", "the model needs it", COPY_AGAIN)
        file = self._files[name]
        try:
            stored = self._mapped(file).get_tensor(name)
        except SafetensorError as error:
            raise self._unreadable(file, error) from error
        if tuple(stored.shape) != shape:
            raise CheckpointError(
                f"{name} in {self.folder / file} is {list(stored.shape)}",
                f"config.json asks for {list(shape)}",
                "use the config.json and the safetensors files of one checkpoint",
            )
        self.bytes_read += stored.nbytes
        return torch.empty(shape, dtype=self.dtype, device=self._device).copy_(stored)

    def _mapped(self, file: str) -> Any:
        if file not in self._open:
            try:
                self._open[file] = safe_open(self.folder / file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise self._unreadable(file, error) from error
        return self._open[file]

    def _unreadable(self, file: str, error: Exception) -> CheckpointError:
        size = (self.folder / file).stat().st_size if (self.folder / file).is_file() else 0
        return CheckpointError(
            f"{self.folder / file} ({size} bytes) cannot be read ({error})",
            "it must be a whole safetensors file",
            COPY_AGAIN,
        )

    def _read_index(self, index: Path) -> dict[str, str]:
        try:
            files = json.loads(index.read_bytes())["weight_map"]
            return {str(name): str(file) for name, file in files.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{index} is broken ({error!r})", "it maps tensors to files", COPY_AGAIN) from error
