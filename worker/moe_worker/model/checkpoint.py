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
SMALLEST_BYTES = 2
"""Of a plain number: narrower ones have scales elsewhere, without which they mean nothing."""


class Checkpoint:
    """The tensors of one folder as private copies of one number type on one device."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device, *, is_native: bool = False) -> None:
        self.folder = folder
        self.dtype = dtype
        self.is_native = is_native
        """Whether what is made of the tensors computes with our kernels, not torch's."""
        self.bytes_read = 0
        self._device = device
        self._files: dict[str, str] = {}
        self._open: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}

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
        """A private copy of one tensor; raises CheckpointError when it is missing, cut off, of another shape, or has
        numbers that are none.
        """
        return self._copy(name, shape, ())

    def part(self, name: str, index: int, shape: tuple[int, ...]) -> torch.Tensor:
        """The same of tensor[index], where `shape` is the whole tensor's; nothing else of it is read."""
        return self._copy(name, shape, (index,))

    def packed_part(self, name: str, index: int, shape: tuple[int, ...]) -> torch.Tensor:
        """The bytes of tensor[index] as they are stored, of a tensor of packed numbers."""
        file, stored = self._stored(name, shape, (index,))
        if stored.dtype is not torch.uint8:
            raise CheckpointError(
                f"{name} in {self.folder / file} is stored as {_word(stored.dtype)}",
                "packed numbers are stored as uint8",
                "use the config.json and the safetensors files of one checkpoint",
            )
        return torch.empty(stored.shape, dtype=torch.uint8, device=self._device).copy_(stored)

    def _copy(self, name: str, shape: tuple[int, ...], index: tuple[int, ...]) -> torch.Tensor:
        file, stored = self._stored(name, shape, index)
        copied = torch.empty(stored.shape, dtype=self.dtype, device=self._device).copy_(stored)
        self._check_numbers(name, file, stored.dtype, copied)
        return copied

    def _stored(self, name: str, shape: tuple[int, ...], index: tuple[int, ...]) -> tuple[str, torch.Tensor]:
        """The file and what is mapped of it."""
        file = self._file(name)
        self._check_whole(file)
        try:
            lying = self._mapped(file).get_slice(name)
            self._check_shape(name, file, tuple(lying.get_shape()), shape)
            stored = lying[index or ...]
        except SafetensorError as error:
            raise self._unreadable(file, error) from error
        self.bytes_read += stored.nbytes
        return file, stored

    def _file(self, name: str) -> str:
        if name not in self._files:
            raise CheckpointError(f"no tensor {name} in {self.folder}", "the model needs it", COPY_AGAIN)
        return self._files[name]

    def _check_shape(self, name: str, file: str, found: tuple[int, ...], shape: tuple[int, ...]) -> None:
        if found != shape:
            raise CheckpointError(
                f"{name} in {self.folder / file} is {list(found)}",
                f"config.json asks for {list(shape)}",
                "use the config.json and the safetensors files of one checkpoint",
            )

    def _check_numbers(self, name: str, file: str, stored: torch.dtype, copied: torch.Tensor) -> None:
        if not stored.is_floating_point or stored.itemsize < SMALLEST_BYTES:
            raise CheckpointError(
                f"{name} in {self.folder / file} is stored as {_word(stored)}",
                "weights are floating-point numbers of 16 bits or more",
                "use a checkpoint that is not quantised",
            )
        if not bool(copied.isfinite().all()):
            raise CheckpointError(
                f"{name} in {self.folder / file} has numbers that are infinite or NaN in {_word(self.dtype)}",
                "weights are finite numbers",
                COPY_AGAIN if stored is self.dtype else f"{COPY_AGAIN}, or set spec.model.dtype to {_word(stored)}",
            )

    def _mapped(self, file: str) -> Any:
        if file not in self._open:
            try:
                self._open[file] = safe_open(self.folder / file, framework="pt")
                self._sizes[file] = (self.folder / file).stat().st_size
            except (SafetensorError, OSError) as error:
                raise self._unreadable(file, error) from error
        return self._open[file]

    def _check_whole(self, file: str) -> None:
        """A mapped file that has shrunk, or whose volume fails, would end the process where it is read. One that was
        only removed is still there for who has it mapped.
        """
        try:
            size = (self.folder / file).stat().st_size if file in self._open else 0
        except FileNotFoundError:
            return
        except OSError as error:
            raise CheckpointError(
                f"{self.folder / file} cannot be read ({error.strerror})",
                "the volume with the checkpoint must be there whenever an expert is loaded",
                "bring it back; it is tried again",
            ) from error
        if file in self._open and size < self._sizes[file]:
            del self._open[file]
            raise self._unreadable(file, ValueError(f"it had {self._sizes[file]} bytes before"))

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


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
