"""Log probabilities of the tokens of one choice, with each token's bytes and its place in the text."""

import codecs
from dataclasses import dataclass

from moe_gateway.token_bytes import TokenBytes
from moe_wire.messages import Logprobs

# JSON has no infinity; whoever reads a probability of nothing reads this.
LEAST_LOGPROB = -9999.0


@dataclass(frozen=True, kw_only=True)
class TokenScore:
    """One token of a choice: its bytes, its logprob, where in the text it begins (in characters), and the likeliest."""

    token: bytes
    logprob: float
    offset: int
    top: tuple[tuple[bytes, float], ...]


class Scorer:
    """Takes the tokens of one choice in order."""

    def __init__(self, token_bytes: TokenBytes, *, first_offset: int = 0) -> None:
        self._token_bytes = token_bytes
        self._offset = first_offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int, logprobs: Logprobs) -> TokenScore:
        spelled = self._token_bytes.of(token)
        score = TokenScore(
            token=spelled,
            logprob=max(logprobs.chosen, LEAST_LOGPROB),
            offset=self._offset,
            top=tuple((self._token_bytes.of(other), max(value, LEAST_LOGPROB)) for other, value in logprobs.top),
        )
        self._offset += len(self._decoder.decode(spelled))
        return score
