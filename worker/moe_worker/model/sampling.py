"""Tokens from logits: a pure function of (parameters, logits, history, seed, position), with no generator to fall out
of step, so that whoever continues a request continues it identically.

Each row is judged alone and in double precision: what stands beside it in the batch cannot change it.
"""

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Sequence

import numpy
import torch

from moe_wire.messages import NO_TOKEN, Logprobs, Sampling, Scoring

_FEW = 256  # a draw seldom falls beyond the likeliest; sorting a whole vocabulary takes milliseconds


def sample(
    logits: torch.Tensor, samplings: Sequence[Sampling], positions: Sequence[int], histories: Sequence[Sequence[int]]
) -> tuple[list[int], list[Logprobs | None]]:
    """One token per row of logits [rows, vocab]; `positions` are those that the tokens will stand at, `histories` the
    tokens before them where the sampling needs them. NO_TOKEN for a row whose highest logit is not finite, as is any
    with a NaN.
    """
    assert len(logits) == len(samplings) == len(positions) == len(histories), "one of each for every row"
    likeliest = logits.argmax(-1, keepdim=True)
    highest = logits.gather(-1, likeliest).squeeze(-1).tolist()
    pairs = zip(likeliest.squeeze(-1).tolist(), highest, strict=True)
    tokens: list[int] = [token if math.isfinite(value) else NO_TOKEN for token, value in pairs]
    logprobs: list[Logprobs | None] = [None] * len(tokens)
    wanted = [
        index for index, sampling in enumerate(samplings) if _needs_scores(sampling) and tokens[index] != NO_TOKEN
    ]
    if not wanted:
        return tokens, logprobs
    rows = logits[wanted].double().cpu()
    for index, row in zip(wanted, rows, strict=True):
        sampling, position = samplings[index], positions[index]
        if _is_adjusted(sampling) or sampling.temperature > 0:
            tokens[index] = _choose(_adjust(row, sampling, position, histories[index]), sampling, position)
        if sampling.logprobs >= 0:
            logprobs[index] = _logprobs(row, tokens[index], sampling.logprobs)
    return tokens, logprobs


def score(logits: torch.Tensor, scoring: Scoring) -> list[Logprobs]:
    """What rows of logits [targets, vocab] say of the tokens that came after them."""
    rows = logits.double().cpu()
    return [_logprobs(row, token, scoring.num_top) for row, token in zip(rows, scoring.targets, strict=True)]


def uniform(seed: int, position: int) -> float:
    """The number in [0, 1) that decides the token at `position` of a request with this seed."""
    digest = hashlib.blake2b(struct.pack("<Qq", seed & 0xFFFFFFFFFFFFFFFF, position), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def _needs_scores(sampling: Sampling) -> bool:
    """Whether the likeliest token's number is not all that is wanted of the row."""
    return _is_adjusted(sampling) or sampling.temperature > 0 or sampling.logprobs >= 0


def _is_adjusted(sampling: Sampling) -> bool:
    return sampling.needs_history or bool(sampling.logit_bias)


def _adjust(row: torch.Tensor, sampling: Sampling, position: int, history: Sequence[int]) -> torch.Tensor:
    """The row after penalties and then the bias, so that a bias of 100 decides whatever the penalties say."""
    if not _is_adjusted(sampling):
        return row
    row = row.clone()
    if sampling.needs_history:
        assert len(history) == position, f"{len(history)} tokens are known before position {position}"
        _penalise(row, sampling, history)
    # A token that the model does not have cannot be drawn anyway.
    bias = [(token, value) for token, value in sampling.logit_bias if token < len(row)]
    if bias:
        tokens, values = zip(*bias, strict=True)
        row.index_add_(0, torch.tensor(tokens), torch.tensor(values, dtype=row.dtype))
    return row


def _penalise(row: torch.Tensor, sampling: Sampling, history: Sequence[int]) -> None:
    """As transformers (repetition: https://arxiv.org/abs/1909.05858) and OpenAI (presence, frequency) define them."""
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted(set(history)))
        scores = row[seen]
        row[seen] = torch.where(scores > 0, scores / sampling.repetition_penalty, scores * sampling.repetition_penalty)
    counts = Counter(history[sampling.num_prompt :])
    if counts:
        generated = torch.tensor(list(counts))
        times = torch.tensor(list(counts.values()), dtype=row.dtype)
        row[generated] -= sampling.presence_penalty + sampling.frequency_penalty * times


def _choose(row: torch.Tensor, sampling: Sampling, position: int) -> int:
    return _draw(row, sampling, position) if sampling.temperature > 0 else int(row.argmax())


def _draw(row: torch.Tensor, sampling: Sampling, position: int) -> int:
    """Temperature, then top-k, top-p and min-p; then the token in which the uniform number falls, the likeliest
    first.
    """
    scaled = row / sampling.temperature
    top_k = sampling.top_k if 0 < sampling.top_k < len(scaled) else len(scaled)
    number = uniform(sampling.seed, position)
    for count in (min(_FEW, top_k), top_k):
        values = _highest(scaled, count)
        total = torch.logsumexp(values if len(values) == top_k else scaled, -1)
        # Of a top-k set that is known in part only, not even the sum is known.
        if len(values) == top_k or top_k == len(scaled):
            place = _place(values, total, sampling, number, is_whole=len(values) == top_k)
            if place is not None:
                return _token(scaled, values, place)
    raise AssertionError("the whole set always has a place for the number")


def _highest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` highest, in falling order. numpy sorts numbers without their places, which takes a tenth."""
    if count <= _FEW:
        return scores.topk(count).values
    return torch.from_numpy(numpy.sort(-scores.numpy())[:count]).neg_()


def _token(scores: torch.Tensor, values: torch.Tensor, place: int) -> int:
    """Whose score stands at that place of the highest; equal ones stand by their index."""
    value = values[place]
    return int((scores == value).nonzero()[place - int((values > value).sum())])


def _place(
    values: torch.Tensor, total: torch.Tensor, sampling: Sampling, number: float, *, is_whole: bool
) -> int | None:
    """Which of the likeliest is drawn; None where that depends on tokens after them. `total` is the logarithm of the
    sum of all exponentials.
    """
    sums = (values - total).exp().cumsum(-1)
    kept = len(sums) if is_whole else len(sums) + 1
    # The smallest set whose probability reaches top_p: all tokens before which less than top_p has been collected.
    if sampling.top_p < 1.0:
        kept = min(kept, 1 + int(torch.searchsorted(sums, sampling.top_p)))
    if sampling.min_p > 0:
        num_likely = int((values >= values[0] + math.log(sampling.min_p)).sum())
        kept = min(kept, num_likely if num_likely < len(sums) else kept)
    is_open = kept > len(sums)
    if is_open and (sampling.top_p < 1.0 or sampling.min_p > 0):
        return None
    kept = max(kept, 1)
    mass = 1.0 if is_open else float(sums[kept - 1])
    place = int(torch.searchsorted(sums, number * mass, right=True))
    return None if is_open and place >= len(sums) else min(place, kept - 1)


def _logprobs(row: torch.Tensor, token: int, num_top: int) -> Logprobs:
    """Of the model's own distribution, which penalties, bias and temperature do not touch."""
    scores = torch.log_softmax(row, -1)
    values, tokens = scores.topk(min(num_top, len(scores)))
    top = sorted(zip(tokens.tolist(), values.tolist(), strict=True), key=lambda one: (-one[1], one[0]))
    return Logprobs(float(scores[token]), tuple(top))
