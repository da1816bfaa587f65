"""What the model asks of a device. After a DeviceError the device cannot be trusted, and the process dies of it."""

from collections.abc import Sequence
from typing import Protocol

import torch

from moe_wire.messages import Payload


class DeviceError(Exception):
    """The device cannot be opened, or has failed while it was driven; the text is the reason for people and status."""


class Device(Protocol):
    """One GPU, or what stands for one."""

    @property
    def name(self) -> str:
        """For logs: which device this is."""

    @property
    def id(self) -> str:
        """What the device plugin calls it, by which others tell of its health; "" where nobody would know it."""

    @property
    def torch_device(self) -> torch.device:
        """Where tensors of this device live."""

    @property
    def has_kernels(self) -> bool:
        """Whether moe_worker.kernels may be used on its tensors, where they are compiled."""

    def open(self) -> None:
        """Takes the device; raises DeviceError when it is broken, missing, or driven by another process."""

    def check(self) -> None:
        """Raises DeviceError when the device is known to have failed. Cheap enough for every turn of a loop."""

    def rows_in(self, payloads: Sequence[Payload], min_rows: int) -> torch.Tensor:
        """The rows of all payloads (one dtype and width), one after the other: [max(rows, min_rows), width].

        Rows that pad are zero. The tensor may share the payload's memory, so it is never written to.
        """

    def rows_out(self, rows: torch.Tensor, counts: Sequence[int]) -> list[Payload]:
        """The first sum(counts) of `rows` [rows, width], cut into one payload per count; they may share its memory."""

    def close(self) -> None:
        """Lets go of the device, so that another process may open it."""
