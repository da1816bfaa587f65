"""The rows of the table: what is timed of the engine and of its peer, in turns.

What counts is the CPU time of the process, so that what else the machine does is left out; it still slows memory.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.engine.one_process import OneProcess
from benchmarks.engine.peer import Peer

PROMPT, PREFIX = 64, 2000
Timed = Callable[[], float]
"""Does one round and says how many CPU seconds of it count."""


class Decoder(Protocol):
    """A peer that decodes sequences of one length, greedily."""

    @property
    def name(self) -> str:
        """As the table calls it."""

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Prefill."""

    def step(self) -> None:
        """One token more of each."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: rounds of ours and of theirs, in `unit`; `bar` is the least ratio that was asked for."""

    what: str
    peer: str
    unit: str
    bar: float
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The engine and transformers with the same weights; the first of `rounds` + 1 does not count."""

    ours: OneProcess
    theirs: Peer
    rounds: int

    def decode(self, batch: int, steps: int, bar: float, peer: Decoder) -> Row:
        """Tokens/s of `batch` sequences after a prefill that does not count."""

        def ours() -> float:
            self.ours.forget()
            self.ours.add(prompts([PROMPT] * batch), steps + 2)
            self.ours.step()
            return _cpu(lambda: _repeat(self.ours.step, steps))

        def theirs() -> float:
            peer.begin(prompts([PROMPT] * batch))
            return _cpu(lambda: _repeat(peer.step, steps))

        row = Row(what=f"decode, batch {batch}", peer=peer.name, unit="tokens/s", bar=bar)
        return self._filled(row, ours, theirs, batch * steps)

    def prefill(self, tokens: int, bar: float, peer: Decoder) -> Row:
        """Tokens/s of one long prompt."""

        def ours() -> float:
            self.ours.forget()
            self.ours.add(prompts([tokens]), 1)
            return _cpu(self.ours.run)

        row = Row(what=f"prefill of {tokens} tokens", peer=peer.name, unit="tokens/s", bar=bar)
        return self._filled(row, ours, lambda: _cpu(lambda: peer.begin(prompts([tokens]))), tokens)

    def crowd(self, requests: int, tokens: int, *, bar: float, is_static: bool) -> Row:
        """Prompt and new tokens/s of requests of 64 to 512 tokens that come at once."""
        lengths = [random.Random(number).randint(64, 512) for number in range(requests)]
        generate = self.theirs.generate if is_static else self.theirs.generate_continuously

        def ours() -> float:
            self.ours.forget()
            self.ours.add(prompts(lengths), tokens)
            return _cpu(self.ours.run)

        what = f"{requests} requests of 64-512 tokens, {tokens} new"
        peer = "transformers, static batch" if is_static else "transformers, continuous batching"
        row = Row(what=what, peer=peer, unit="tokens/s", bar=bar)
        return self._filled(
            row, ours, lambda: _cpu(lambda: generate(prompts(lengths), tokens)), sum(lengths) + requests * tokens
        )

    def prefix_hit(self, bar: float) -> Row:
        """First tokens a second of a prompt whose first 2,000 tokens are known, against one that is new."""
        text = prompts([PREFIX + 8])

        def first(*, is_known: bool) -> float:
            if not is_known:
                self.ours.forget()
            self.ours.add(text, 1)
            return _cpu(self.ours.run)

        row = Row(what="first token after a known prefix of 2,000", peer="the same without", unit="1/s", bar=bar)
        # Whoever comes without it leaves it behind for who comes next.
        first(is_known=False)
        return self._filled(row, lambda: first(is_known=True), lambda: first(is_known=False), 1)

    def experts(self, tokens: int, flops: float, best: float, bar: float) -> Row:
        """GFLOP/s of the experts' products in a prefill, their dispatch included, against the best product's."""
        self.ours.forget()

        def ours() -> float:
            self.ours.forget()
            before = self.ours.expert_seconds
            self.ours.add(prompts([tokens]), 1)
            self.ours.run()
            return self.ours.expert_seconds - before

        row = Row(what=f"experts of {tokens} tokens", peer="best product", unit="GFLOP/s", bar=bar)
        return self._filled(row, ours, lambda: 1e-9 * flops / best, 1e-9 * flops)

    def _filled(self, row: Row, ours: Timed, theirs: Timed, work: float) -> Row:
        for number in range(self.rounds + 1):
            pair = work / ours(), work / theirs()
            if number:
                row.ours.append(pair[0])
                row.theirs.append(pair[1])
        return row


def prompts(lengths: Sequence[int]) -> list[list[int]]:
    """Texts of those lengths, the same in every run."""
    return [random.Random(number).choices(range(3, 250), k=length) for number, length in enumerate(lengths)]


def _repeat(step: Callable[[], object], times: int) -> None:
    for _ in range(times):
        step()


def _cpu(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began
