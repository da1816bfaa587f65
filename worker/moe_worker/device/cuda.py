"""A CUDA GPU as a device: payloads pass through pinned host memory, and CUDA's errors become DeviceError."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from moe_wire.messages import Payload
from moe_worker.device.base import DeviceError
from moe_worker.device.rows import host_payloads, host_tensor


@contextmanager
def _cuda_errors(doing: str) -> Iterator[None]:
    """CUDA reports a kernel's failure at a later call; wherever it shows up, the context is lost with it."""
    try:
        yield
    except RuntimeError as error:
        raise DeviceError(f"{doing}: {str(error).splitlines()[0]}") from error


class CudaDevice:
    """GPU `index` among those that the process can see."""

    def __init__(self, index: int) -> None:
        self._index = index

    @property
    def name(self) -> str:
        return f"cuda:{self._index}"

    @property
    def id(self) -> str:
        """The UUID, under which NVIDIA's device plugin offers the GPU; raises DeviceError."""
        with _cuda_errors(f"{self.name} cannot be found"):
            return f"GPU-{torch.cuda.get_device_properties(self._index).uuid}"

    @property
    def torch_device(self) -> torch.device:
        return torch.device("cuda", self._index)

    @property
    def has_kernels(self) -> bool:
        return False

    def open(self) -> None:
        """Makes the CUDA context and does one operation in it; raises DeviceError."""
        torch.set_num_threads(1)
        with _cuda_errors(f"{self.name} cannot be opened"):
            torch.cuda.set_device(self._index)
            torch.zeros(1, device=self.torch_device).add_(1).item()

    def check(self) -> None:
        """Nothing to ask: a failed GPU shows itself at the next copy or kernel."""

    def rows_in(self, payloads: Sequence[Payload], min_rows: int) -> torch.Tensor:
        with _cuda_errors(f"copy to {self.name}"):
            pinned = host_tensor(payloads, min_rows).pin_memory()
            return pinned.to(self.torch_device, non_blocking=True)

    def rows_out(self, rows: torch.Tensor, counts: Sequence[int]) -> list[Payload]:
        with _cuda_errors(f"copy from {self.name}"):
            pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            pinned.copy_(rows, non_blocking=True)
            torch.cuda.current_stream().synchronize()
        return host_payloads(pinned, counts)

    def close(self) -> None:
        """The context ends with the process."""
