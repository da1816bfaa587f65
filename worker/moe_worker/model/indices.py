"""Numbers of rows, positions and blocks on their way from Python to a tensor."""

from array import array
from collections.abc import Iterable

import torch


def index_tensor(numbers: Iterable[int], device: torch.device) -> torch.Tensor:
    """int64 [numbers], of which there must be one at least. torch.tensor() takes three times as long for a few."""
    indices = torch.frombuffer(array("q", numbers), dtype=torch.int64)
    return indices if device.type == "cpu" else indices.to(device)
