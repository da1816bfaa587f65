"""One choice of an answer: tokens become text, up to the model's end, a stop string or the length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from moe_gateway.detokenizer import Decoder, Detokenizer
from moe_gateway.scores import Scorer, TokenScore
from moe_gateway.stops import StopFinder
from moe_gateway.stream import Generation

Finish = Literal["stop", "length"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is new since the last look. `tokens` may be ahead of `text`: it waits for whole characters and stops.

    `scores` are there where they were asked for: of the tokens, but for the model's end token, which is no text.
    """

    text: str
    tokens: tuple[int, ...]
    finish: Finish | None
    scores: tuple[TokenScore, ...] = ()


class Choice:
    """Reads one generation to its end. `echo` is the text that comes before the first token's."""

    def __init__(
        self,
        generation: Generation,
        decoder: Decoder,
        stops: Sequence[str],
        *,
        echo: str = "",
        scorer: Scorer | None = None,
    ) -> None:
        self.generation = generation
        self.num_tokens = 0
        self.is_finished = False
        self._detokenizer = Detokenizer(decoder, generation.prompt)
        self._stops = StopFinder(stops)
        self._echo = echo
        self._scorer = scorer

    def read(self) -> Piece | None:
        """What is new, or None. After a piece with `finish` there is nothing more."""
        if self.is_finished:
            return None
        texts, tokens, scores = [], [], self._prompt_scores()
        while not self._stops.is_hit and self.num_tokens < len(self.generation.tokens):
            token = self.generation.tokens[self.num_tokens]
            self.num_tokens += 1
            tokens.append(token)
            if not self._is_end(token):
                texts.append(self._stops.push(self._detokenizer.push(token)))
                scores += self._scores(token)
        finish = self._finish(texts)
        self.is_finished = finish is not None
        if not tokens and not self.is_finished:
            return None
        echo, self._echo = self._echo, ""
        return Piece(text=echo + "".join(texts), tokens=tuple(tokens), finish=finish, scores=tuple(scores))

    def _prompt_scores(self) -> list[TokenScore]:
        """At the answer's first token, before which a head tells all of the prompt's."""
        generation = self.generation
        if self._scorer is None or generation.prompt_logprobs < 0 or self.num_tokens or not generation.tokens:
            return []
        return self._scorer.prompt(generation.prompt, generation.prompt_scores)

    def _scores(self, token: int) -> list[TokenScore]:
        logprobs = self.generation.logprobs[self.num_tokens - 1]
        return [] if self._scorer is None or logprobs is None else [self._scorer.push(token, logprobs)]

    def _is_end(self, token: int) -> bool:
        """The model's end token is no text, even where the tokenizer does not call it special."""
        is_last = self.num_tokens == len(self.generation.tokens)
        return is_last and self.generation.finish == "stop" and token in self.generation.stop_tokens

    def _finish(self, texts: list[str]) -> Finish | None:
        if not self._stops.is_hit and self.generation.finish:
            texts += [self._stops.push(self._detokenizer.flush()), self._stops.flush()]
            if not self._stops.is_hit:
                return "length" if self.generation.finish == "length" else "stop"
        return "stop" if self._stops.is_hit else None
