"""What the hardware allows: how fast one thread reads memory and multiplies. Measured in the run that it judges."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own short name)

from moe_worker.kernels.library import has_kernels
from moe_worker.kernels.product import pack

READ_NUMBERS = 1 << 26
ROWS, OUT, WIDTH = 1024, 2048, 512
TRIES = 3


@torch.inference_mode()
def rates(dtype: str) -> dict[str, float]:
    """GB/s of a sum over 256 MiB, and GFLOP/s of the best product: fp32 or `dtype`, torch's or ours."""
    numbers = torch.zeros(READ_NUMBERS)
    best = max(_product_rate(one) for one in {torch.float32, getattr(torch, dtype)})
    return {"read GB/s": 4e-9 * READ_NUMBERS / _least(numbers.sum), "best product GFLOP/s": best}


def _product_rate(dtype: torch.dtype) -> float:
    x, weight = torch.randn(ROWS, WIDTH).to(dtype), torch.randn(OUT, WIDTH).to(dtype)
    ways: list[Callable[[], object]] = [lambda: F.linear(x, weight)]
    if has_kernels(dtype):
        packed = pack(weight)
        ways.append(lambda: packed.product(x))
    return 2e-9 * ROWS * OUT * WIDTH / min(map(_least, ways))


def _least(run: Callable[[], object]) -> float:
    """The least CPU seconds of some tries."""
    found = []
    for _ in range(TRIES + 1):
        began = time.thread_time()
        run()
        found.append(time.thread_time() - began)
    return min(found[1:])
