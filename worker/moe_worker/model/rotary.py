"""Rotary position embedding, plain and stretched (YaRN), for heads whose halves turn against each other.

Checkpoints that turn neighbouring numbers instead have their weights permuted when they are read.
"""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Yarn:
    """YaRN (arXiv 2309.00071): angles that turn fewer than `beta_slow` times in `original_positions` are slowed down
    by `factor`, those of more than `beta_fast` are left, the rest lies between. `magnitude` multiplies what is turned,
    `score_magnitude` squared the scores of families that ask for it.
    """

    factor: float
    original_positions: int
    beta_fast: float
    beta_slow: float
    is_truncated: bool
    magnitude: float
    score_magnitude: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary:
    """What an embedding is made of: the turned width of a head and the base of the angles."""

    dim: int
    theta: float
    yarn: Yarn | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rotation:
    """Cosines and sines of positions, each [positions, 1, dim]; the sines are signed for `rotate`."""

    cos: torch.Tensor
    sin: torch.Tensor

    def at(self, positions: torch.Tensor) -> "Rotation":
        """Those of the given positions."""
        return Rotation(cos=self.cos.index_select(0, positions), sin=self.sin.index_select(0, positions))


def make_rotation(positions: int, rotary: Rotary, like: torch.Tensor) -> Rotation:
    """The rotary embedding of positions 0 .. positions - 1."""
    angles = torch.arange(positions, dtype=torch.float32)[:, None, None] * _frequencies(rotary)
    magnitude = rotary.yarn.magnitude if rotary.yarn else 1.0
    cos, sin = angles.cos() * magnitude, angles.sin() * magnitude
    return Rotation(cos=torch.cat((cos, cos), -1).to(like), sin=torch.cat((-sin, sin), -1).to(like))


def rotate(x: torch.Tensor, rotation: Rotation, out: torch.Tensor) -> None:
    """Rotary embedding of heads x [rows, heads, dim], one rotation a row, into `out`, which may be x."""
    torch.add(x * rotation.cos, x.roll(x.shape[-1] // 2, -1) * rotation.sin, out=out)


def yarn_magnitude(factor: float, weight: float) -> float:
    """By how much stretched heads are enlarged: 0.1 * weight * ln(factor) + 1."""
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def halves(dim: int) -> list[int]:
    """Where each number of a head that turns neighbours (0, 1), (2, 3), ... goes so that its halves turn instead."""
    return [*range(0, dim, 2), *range(1, dim, 2)]


def _frequencies(rotary: Rotary) -> torch.Tensor:
    """Of each pair, in radians a position: [dim / 2]."""
    plain = 1.0 / (rotary.theta ** (torch.arange(0, rotary.dim, 2, dtype=torch.float32) / rotary.dim))
    yarn = rotary.yarn
    if yarn is None:
        return plain
    low, high = _turning(rotary, yarn, yarn.beta_fast), _turning(rotary, yarn, yarn.beta_slow)
    if yarn.is_truncated:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary.dim - 1)
    width = high - low or 0.001
    slowed = ((torch.arange(rotary.dim // 2, dtype=torch.float32) - low) / width).clamp(0, 1)
    return plain / yarn.factor * slowed + plain * (1 - slowed)


def _turning(rotary: Rotary, yarn: Yarn, turns: float) -> float:
    """The pair that turns so often in the original positions."""
    return rotary.dim * math.log(yarn.original_positions / (turns * 2 * math.pi)) / (2 * math.log(rotary.theta))
