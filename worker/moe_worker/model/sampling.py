"""Tokens from logits: a pure function of (parameters, logits, position), with no generator to fall out of step."""

import hashlib
import struct
from collections.abc import Sequence

import torch

from moe_wire.messages import Logprobs, Sampling


def sample(
    logits: torch.Tensor, samplings: Sequence[Sampling], positions: Sequence[int], histories: Sequence[Sequence[int]]
) -> tuple[list[int], list[Logprobs | None]]:
    """One token per row of logits [rows, vocab]; `positions` are those that the tokens will stand at, `histories` the
    tokens before them where the sampling needs them.
    """
    tokens: list[int] = logits.argmax(-1).tolist()
    for row, (sampling, position) in enumerate(zip(samplings, positions, strict=True)):
        if sampling.temperature > 0:
            tokens[row] = _draw(logits[row], sampling, position)
    return tokens, [None] * len(tokens)


def uniform(seed: int, position: int) -> float:
    """The number in [0, 1) that decides the token at `position` of a request with this seed."""
    digest = hashlib.blake2b(struct.pack("<Qq", seed & 0xFFFFFFFFFFFFFFFF, position), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def _draw(logits: torch.Tensor, sampling: Sampling, position: int) -> int:
    """Temperature, then top-k, then top-p; then the token in which the uniform number falls, the likeliest first."""
    scaled, order = torch.sort(logits.double().cpu() / sampling.temperature, descending=True, stable=True)
    if sampling.top_k > 0:
        scaled = scaled[: sampling.top_k]
    sums = torch.softmax(scaled, -1).cumsum(-1)
    # The smallest set whose probability reaches top_p: all tokens before which less than top_p has been collected.
    kept = 1 + int(torch.searchsorted(sums, min(sampling.top_p, 1.0))) if sampling.top_p < 1.0 else len(sums)
    sums = sums[: min(kept, len(sums))]
    place = int(torch.searchsorted(sums, uniform(sampling.seed, position) * float(sums[-1]), right=True))
    return int(order[min(place, len(sums) - 1)])
