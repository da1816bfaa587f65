"""What the clients ask: the same questions for the same seed. Knows the API's parameters, no server."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

MODEL = "soak"
TEXT = (
    "the captain reads stars and crosses every sea until an island which no map has shown comes near where small "
    "devices rest while experts speak of clusters nodes layers and tokens that nobody takes back"
)
WORDS = TEXT.split()
PREFIX_WORDS = (24, 48, 96)
TAIL_WORDS = (2, 24)
MAX_TOKENS = (8, 48)
WAYS: tuple[Mapping[str, object], ...] = (
    {"temperature": 0.0},
    {"temperature": 0.8, "top_p": 0.95},
    {"temperature": 0.0, "repetition_penalty": 1.2, "frequency_penalty": 0.3},
    {"temperature": 1.2, "top_k": 60, "min_p": 0.001, "ignore_eos": True},
    {"temperature": 1.0, "presence_penalty": 0.5, "frequency_penalty": 0.3, "repetition_penalty": 1.1},
    {"temperature": 0.0, "ignore_eos": True, "logit_bias": {"7": 3.0, "9": -100.0}},
)
"""Ways of sampling, taken in turns; each question has a seed of its own beside."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One body for /v1/completions, which has one right answer."""

    number: int
    prompt: str
    max_tokens: int
    sampling: Mapping[str, object]

    def body(self) -> dict[str, object]:
        """Streamed, with token ids."""
        shape = {"model": MODEL, "prompt": self.prompt, "max_tokens": self.max_tokens}
        return {**shape, "stream": True, "return_token_ids": True, "seed": self.number, **self.sampling}


def make_questions(count: int, seed: int) -> list[Question]:
    """Every second prompt begins as others do: with one of a few texts of several KV blocks."""
    random = Random(seed)
    prefixes = [_text(random, length) for length in PREFIX_WORDS]
    return [
        Question(
            number=number,
            prompt=(f"{random.choice(prefixes)} " if number % 2 else "") + _text(random, random.randint(*TAIL_WORDS)),
            max_tokens=random.randint(*MAX_TOKENS),
            sampling=WAYS[number % len(WAYS)],
        )
        for number in range(count)
    ]


def _text(random: Random, num_words: int) -> str:
    return " ".join(random.choices(WORDS, k=num_words))
