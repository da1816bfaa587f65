"""Matrices packed as mxfp4: 4-bit numbers in blocks of 32 that share a power of two (OCP Microscaling Formats 1.0).

Knows how gpt-oss checkpoints store them and gives plain numbers. Knows no model, and computes nothing packed.
"""

import torch

from moe_worker.model.checkpoint import COPY_AGAIN, Checkpoint
from moe_worker.model.errors import CheckpointError

BLOCK = 32
PACKED_BYTES = BLOCK // 2
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What three bits stand for: two of exponent, one of mantissa; the fourth is the sign."""
SCALE_BIAS = 127


def read_unpacked(source: Checkpoint, name: str, index: int, shape: tuple[int, int, int]) -> torch.Tensor:
    """One expert's [rows, width] of `name`_blocks and `name`_scales, where all experts are [experts, rows, width].

    Raises CheckpointError where a tensor is missing or of another shape, or numbers do not fit the number type.
    """
    experts, rows, width = shape
    groups = (experts, rows, width // BLOCK)
    blocks = source.packed_part(f"{name}_blocks", index, (*groups, PACKED_BYTES))
    scales = source.packed_part(f"{name}_scales", index, groups)
    unpacked = unpack(blocks, scales, source.dtype)
    if not bool(unpacked.isfinite().all()):
        word = str(source.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{name}_scales in {source.folder} makes numbers of expert {index} infinite or NaN in {word}",
            "weights are finite numbers",
            f"{COPY_AGAIN}, or set spec.model.dtype to bfloat16" if word == "float16" else COPY_AGAIN,
        )
    return unpacked


def unpack(blocks: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[rows, groups, 16] bytes and [rows, groups] scales -> [rows, 32 * groups]; a byte's low half comes first."""
    numbers = torch.tensor([*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)], dtype=dtype)
    pairs = torch.stack((numbers.repeat(16), numbers.repeat_interleave(16)), dim=1).to(blocks.device)
    unpacked = pairs.index_select(0, blocks.flatten().int()).view(*scales.shape, BLOCK)
    powers = torch.ldexp(torch.ones_like(scales, dtype=torch.float32), scales.int() - SCALE_BIAS)
    return unpacked.mul_(powers.unsqueeze(2)).flatten(1)
