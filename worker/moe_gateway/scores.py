"""Log probabilities of the tokens of one choice, with each token's bytes and its place in the text."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

from moe_gateway.token_bytes import TokenBytes
from moe_wire.messages import Logprobs

# JSON has no infinity; whoever reads a probability of nothing reads this.
LEAST_LOGPROB = -9999.0

_make_decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, kw_only=True)
class TokenScore:
    """One token of a choice: its bytes, its logprob, where in the text it begins (in characters), and the likeliest.

    The first token of a prompt comes after nothing and has no logprob.
    """

    token: bytes
    logprob: float | None
    offset: int
    top: tuple[tuple[bytes, float], ...]


class Scorer:
    """Takes the tokens of one choice in order; `echo` is the prompt's text where the choice's text begins with it."""

    def __init__(self, token_bytes: TokenBytes, *, echo: str = "") -> None:
        self._token_bytes = token_bytes
        self._echo = echo
        self._offset = len(echo)
        self._decoder = _make_decoder("replace")

    def prompt(self, tokens: Sequence[int], logprobs: Sequence[Logprobs]) -> list[TokenScore]:
        """Of the echoed prompt, `logprobs` being those of its second token and on."""
        decoder, offset, scores = _make_decoder("replace"), 0, []
        for token, told in zip(tokens, (None, *logprobs), strict=True):
            spelled = self._token_bytes.of(token)
            scores.append(self._score(spelled, told, offset))
            piece = decoder.decode(spelled)
            # A token that the tokenizer put before the text has no place in it.
            if not self._token_bytes.is_added(token) or self._echo.startswith(piece, offset):
                offset = min(offset + len(piece), len(self._echo))
        return scores

    def push(self, token: int, logprobs: Logprobs) -> TokenScore:
        spelled = self._token_bytes.of(token)
        score = self._score(spelled, logprobs, self._offset)
        self._offset += len(self._decoder.decode(spelled))
        return score

    def _score(self, spelled: bytes, logprobs: Logprobs | None, offset: int) -> TokenScore:
        if logprobs is None:
            return TokenScore(token=spelled, logprob=None, offset=offset, top=())
        top = tuple((self._token_bytes.of(other), max(value, LEAST_LOGPROB)) for other, value in logprobs.top)
        return TokenScore(token=spelled, logprob=max(logprobs.chosen, LEAST_LOGPROB), offset=offset, top=top)
