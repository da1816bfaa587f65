"""A model of integers in which everything matters: a token depends on every earlier position of its sequence, every
layer, and each chosen expert's contribution in router order. A hole, a double count, a stale cache or a wrong expert
gives another token.

hash() of a tuple of integers is the same in every process, fast, and of full width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moe_wire.messages import Logprobs, Sampling

VOCABULARY = 97


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`skewed`: every token of every layer goes to that layer's first expert."""

    layers: int
    experts_per_layer: int
    experts_per_token: int
    skewed: bool

    def embed(self, token: int, position: int) -> int:
        return hash((11, token, position))

    def attend(self, entries: Sequence[int], layer: int) -> int:
        """`entries` are the cache's, one for each position up to and with the row's own."""
        return hash((layer, *entries))

    def route(self, attended: int, layer: int) -> tuple[int, ...]:
        """Global ids of the chosen experts, in router order."""
        first = 0 if self.skewed else attended % self.experts_per_layer
        count = 1 if self.skewed else self.experts_per_token
        return tuple(layer * self.experts_per_layer + (first + i) % self.experts_per_layer for i in range(count))

    def expert(self, expert: int, row: int) -> int:
        return hash((13, expert, row))

    def combine(self, attended: int, answers: Sequence[int]) -> int:
        return hash((17, attended, *answers))

    def sample(self, hidden: int, sampling: Sampling, position: int, history: Sequence[int]) -> int:
        """`history`: all tokens before, where the sampling needs them; else whatever, as it must not matter."""
        told = tuple(history) if sampling.needs_history else ()
        return hash((19, hidden, sampling.seed, position, *told)) % VOCABULARY


def logprobs_of(token: int, sampling: Sampling, position: int) -> Logprobs | None:
    """Something that belongs to this token at this place only, where it is asked for."""
    return None if sampling.logprobs < 0 else Logprobs(-float(token), ((position, -1.0),) * sampling.logprobs)


def generate(
    model: Model, prompt: Sequence[int], *, sampling: Sampling, max_tokens: int, stop_tokens: Sequence[int]
) -> list[int]:
    """What the request must give: one token after the other, without cache blocks, batches, ranks or failures."""
    tokens = list(prompt)
    entries: list[list[int]] = [[] for _ in range(model.layers)]
    generated: list[int] = []
    position = 0
    while True:
        hidden = model.embed(tokens[position], position)
        for layer in range(model.layers):
            entries[layer].append(hidden)
            attended = model.attend(entries[layer], layer)
            hidden = model.combine(attended, [model.expert(e, attended) for e in model.route(attended, layer)])
        position += 1
        if position < len(tokens):
            continue
        token = model.sample(hidden, sampling, position, tokens)
        tokens.append(token)
        generated.append(token)
        if token in stop_tokens or len(generated) == max_tokens:
            return generated
