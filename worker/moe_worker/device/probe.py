"""A fixed piece of work by which a device's speed is told when nobody asks it for anything."""

from collections.abc import Callable

import torch

from moe_wire.messages import DType, Payload
from moe_worker.device.base import Device

ROWS = 4
WIDTH = 128
REPETITIONS = 3


class Probe:
    """Rows in, one product, rows out, as for an expert; the least of a few tries."""

    def __init__(self, device: Device, clock: Callable[[], float]) -> None:
        self._device = device
        self._clock = clock
        self._weight = torch.zeros(WIDTH, WIDTH, device=device.torch_device)
        self._rows = Payload(DType.FLOAT32, (ROWS, WIDTH), bytes(ROWS * WIDTH * 4))

    def __call__(self) -> float:
        """Seconds."""
        return min(self._run() for _ in range(REPETITIONS))

    @torch.inference_mode()
    def _run(self) -> float:
        started = self._clock()
        rows = self._device.rows_in([self._rows], ROWS)
        self._device.rows_out(rows @ self._weight, [ROWS])
        return self._clock() - started
