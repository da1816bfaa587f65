"""Requests of the gateway's own while a failure is rehearsed: how long each waits for a token, and what it is answered.

Follows what a first stage's spec says of a drill. Synchronous: time is a callable; how the report is told is not known.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from moe_api.drill import CanaryReport
from moe_api.stage import MoEStage, RehearsalSpec
from moe_gateway.balancer import Balancer
from moe_gateway.stream import Generation
from moe_wire.messages import Sampling

PROMPT_TOKENS = 8
ANSWER_TOKENS = 64
_RETRY_SECONDS = 0.5
_GREEDY = Sampling(temperature=0.0, seed=0, num_prompt=PROMPT_TOKENS)


@dataclass(frozen=True, kw_only=True)
class CanaryLimits:
    """What a request may look like: token ids are below `vocab_size`."""

    vocab_size: int
    max_sequence_length: int


class Canaries:
    """The drill, if any, in which this pod keeps requests under way."""

    def __init__(self, balancer: Balancer, *, now: Callable[[], float], pod_name: str, limits: CanaryLimits) -> None:
        self._balancer = balancer
        self._now = now
        self._pod_name = pod_name
        self._limits = limits
        self._wanted: tuple[RehearsalSpec, int] | None = None
        self._name = ""
        self._streams: list[_Stream] = []
        self.report: CanaryReport | None = None
        """What is to be told; None without a drill."""

    def follow(self, stages: Iterable[MoEStage]) -> None:
        """What the first stages say now."""
        self._wanted = next(
            (
                (stage.spec.rehearsal, stage.spec.replica)
                for stage in stages
                if stage.spec.rehearsal is not None and stage.spec.rehearsal.gateway == self._pod_name
            ),
            None,
        )

    def step(self) -> None:
        """Begin, go on or end as is wanted. Called every 0.1 s or so."""
        if self._wanted is None:
            self._stop()
            self.report = None
            return
        rehearsal, replica = self._wanted
        if rehearsal.name != self._name:
            self._start(rehearsal, replica)
        if rehearsal.over_since is not None:
            self._stop()
            self.report = self._told(is_final=True)
            return
        for stream in self._streams:
            stream.go_on()
        self.report = self._told()

    def _start(self, rehearsal: RehearsalSpec, replica: int) -> None:
        self._stop()
        self._name = rehearsal.name
        self._streams = [
            _Stream(index, rehearsal, replica, self._balancer, self._now, self._limits)
            for index in range(rehearsal.streams)
        ]

    def _stop(self) -> None:
        for stream in self._streams:
            stream.stop()

    def _told(self, *, is_final: bool = False) -> CanaryReport:
        streams = self._streams
        return CanaryReport(
            name=self._name,
            is_ready=all(stream.is_measured for stream in streams),
            is_final=is_final,
            stall_ms=round(1000 * max((stream.longest_wait() for stream in streams), default=0.0)),
            failed=sum(stream.num_failed for stream in streams),
            wrong=sum(stream.num_wrong for stream in streams),
            reason=next((stream.reason for stream in streams if stream.reason), ""),
        )


class _Stream:
    """Request after request with the same prompt. Waits count from the first token of all."""

    def __init__(
        self,
        index: int,
        rehearsal: RehearsalSpec,
        replica: int,
        balancer: Balancer,
        now: Callable[[], float],
        limits: CanaryLimits,
    ) -> None:
        self.is_measured = False
        self.num_failed = 0
        self.num_wrong = 0
        self.reason = ""
        self._name = f"drill {rehearsal.name} stream {index}"
        self._prompt = tuple((index * PROMPT_TOKENS + place) % limits.vocab_size for place in range(PROMPT_TOKENS))
        self._max_tokens = max(1, min(ANSWER_TOKENS, limits.max_sequence_length - PROMPT_TOKENS))
        self._replica = replica
        # The first is in the lane that loses its rank, the others wherever there is room.
        self._head = rehearsal.head if index == 0 else None
        self._balancer = balancer
        self._now = now
        self._worst = 0.0
        self._progress = now()
        self._not_before = 0.0
        self._answer: list[int] | None = None
        self._generation: Generation | None = None
        self._num_seen = 0

    def go_on(self) -> None:
        """Judge a request that is over, and have one under way."""
        generation = self._generation
        if generation is not None and generation.is_over:
            self._generation = None
            self._judge(generation)
        if self._generation is None and self._now() >= self._not_before:
            self._open()

    def stop(self) -> None:
        self._worst = self.longest_wait()
        self._not_before = 0.0
        if self._generation is not None:
            self._balancer.cancel(self._generation)
            self._judge(self._generation)
            self._generation = None

    def longest_wait(self) -> float:
        """In seconds, with the wait that still goes on."""
        is_waiting = self.is_measured and (self._generation is not None or self._not_before > 0)
        return max(self._worst, self._now() - self._progress) if is_waiting else self._worst

    def _open(self) -> None:
        self._num_seen = 0
        self._not_before = 0.0
        self._generation = Generation(
            name=self._name,
            prompt=self._prompt,
            sampling=_GREEDY,
            max_tokens=self._max_tokens,
            stop_tokens=(),
            wake=self._woken,
            replica=self._replica,
            head=self._head,
        )
        self._balancer.open(self._generation)

    def _woken(self) -> None:
        """There is a token, or an end."""
        if self._generation is None or len(self._generation.tokens) == self._num_seen:
            return
        self._num_seen = len(self._generation.tokens)
        now = self._now()
        if self.is_measured:
            self._worst = max(self._worst, now - self._progress)
        self.is_measured, self._progress = True, now

    def _judge(self, generation: Generation) -> None:
        """A failed request's wait goes on in the next; a complete one's is over."""
        if generation.failure is not None:
            self.num_failed += 1
            self.reason = self.reason or str(generation.failure)
            self._not_before = self._now() + _RETRY_SECONDS
            return
        if self._answer is None and generation.finish:
            self._answer = generation.tokens
        if self._answer is not None and generation.tokens != self._answer[: len(generation.tokens)]:
            self.num_wrong += 1
        self._progress = self._now()
