"""Keeps every request on some lane's head until it is done: places, takes tokens, resubmits, gives up in the end.

Synchronous and without I/O: heads call in with what happened, time is a callable. How a head is reached is heads.py's.
"""

import logging
import os
from collections.abc import Callable

from moe_gateway.errors import ApiError, deadline_exceeded, invalid_request, no_capacity, not_finite, overloaded
from moe_gateway.metrics import Metrics
from moe_gateway.places import Counts, Head, HeadLink, Place
from moe_gateway.router import HeadKey, HeadLoad, choose, prefix_of
from moe_gateway.stream import Generation, Verdict
from moe_wire.messages import NOT_FINITE, Cancel, Emitted, Load, Message, Refused, Returned, Scored, Submit

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.02
_LONGEST_RETRY_SECONDS = 0.5
_OVERLOADED = "overloaded"
"""The code by which a head refuses what another may take."""


class Balancer:
    """The live requests of this gateway and the connected heads."""

    def __init__(
        self,
        *,
        hold_seconds: float,
        now: Callable[[], float],
        metrics: Metrics,
        first: int = 0,
        streams_per_lane: int = 1,
    ) -> None:
        self.counts = Counts()
        self._metrics = metrics
        self._hold_seconds = hold_seconds
        self._now = now
        self._first = first
        self._streams_per_lane = streams_per_lane
        self._heads: dict[HeadKey, Head] = {}
        self._places: dict[Generation, Place] = {}

    @property
    def num_heads(self) -> int:
        return len(self._heads)

    @property
    def num_live(self) -> int:
        return len(self._places)

    @property
    def num_waiting(self) -> int:
        return sum(1 for place in self._places.values() if place.head is None)

    def gauges(self) -> dict[str, float]:
        """Of this moment, for the metrics. Running are those that have a token, waiting those that have none yet."""
        running = sum(1 for generation in self._places if generation.tokens)
        loads = [head.load for head in self._heads.values() if head.load is not None]
        used, blocks = sum(load.blocks_used for load in loads), sum(load.blocks for load in loads)
        return {
            "vllm:num_requests_running": running,
            "vllm:num_requests_waiting": self.num_live - running,
            "vllm:kv_cache_usage_perc": used / blocks if blocks else 0.0,
            "moe_gateway_requests_without_head": self.num_waiting,
            "moe_gateway_heads": self.num_heads,
            "moe_gateway_lanes": sum(head.link.num_lanes for head in self._heads.values()),
        }

    def totals(self) -> dict[str, float]:
        """Since the start, for the metrics."""
        counts = dict(vars(self.counts))
        found, asked = counts.pop("prefix_tokens_found"), counts.pop("prefix_tokens_asked")
        ours = {f"moe_gateway_{name}": count for name, count in counts.items()}
        return {"vllm:prefix_cache_hits": found, "vllm:prefix_cache_queries": asked, **ours}

    def open(self, generation: Generation) -> None:
        """Take a new request; tokens appear in it as they come."""
        now = self._now()
        place = Place(generation, prefix_of(generation.prompt), os.urandom(12), now, now)
        self._metrics.opened(len(generation.prompt))
        self._places[generation] = place
        self._place(place)

    def cancel(self, generation: Generation, *, finish: str = "abort") -> None:
        """The client went away, or has enough, which is a `finish` of "stop". Harmless when the generation is over."""
        generation.cancelled = generation.cancelled or not generation.is_over
        place = self._places.get(generation)
        if place is not None:
            self._end(place, finish)

    def connected(self, link: HeadLink) -> None:
        """A head is there; what waits goes to it."""
        self._heads[link.key] = Head(link, self._now())
        self._place_waiting()

    def lost(self, link: HeadLink) -> None:
        """The connection is gone, and with it all that was outstanding there."""
        head = self._heads.get(link.key)
        if head is None or head.link is not link:
            return
        del self._heads[link.key]
        for place in head.places.values():
            place.head = None
        for place in head.places.values():
            self._resubmit(place)

    def received(self, link: HeadLink, message: Message) -> None:
        """One message of a head; those about attempts that are no longer ours are ignored."""
        head = self._heads.get(link.key)
        if head is None or head.link is not link:
            return
        head.heard = self._now()
        if isinstance(message, Load):
            head.loaded(message, self.counts)
            return
        if not isinstance(message, Emitted | Scored | Returned | Refused):
            link.abort(f"a head sent {type(message).__name__}")
            return
        place = head.places.get(message.request)
        if place is None:
            return
        match message:
            case Emitted():
                self._emitted(head, place, message)
            case Scored():
                self._scored(head, place, message)
            case Returned():
                self._returned(head, place, message)
            case Refused(code=code) if code == _OVERLOADED:
                self._overloaded(head, place, message)
            case Refused(code=code) if code == NOT_FINITE:
                self._release(head, place)
                self._fail(place, not_finite(message.message))
            case Refused():
                self._release(head, place)
                self._fail(place, invalid_request(message.message, code=message.code))

    def tick(self) -> None:
        """Retry what may be tried again, and end what has waited too long. Called every 0.1 s or so."""
        now = self._now()
        self._place_waiting()
        for place in list(self._places.values()):
            if now - place.opened >= place.generation.limit_seconds:
                self._fail(place, deadline_exceeded(limit_seconds=place.generation.limit_seconds))
            elif now - place.progress >= self._hold_seconds and self._is_stuck(place, now):
                self._give_up(place)

    def fail_all(self, error: ApiError) -> None:
        """End whatever is still under way."""
        for place in list(self._places.values()):
            self._fail(place, error)

    def _emitted(self, head: Head, place: Place, message: Emitted) -> None:
        name = place.generation.name
        verdict = place.generation.take(message.position, message.token, message.finish, message.logprobs)
        if verdict is Verdict.NEW:
            self._measure(place, head.heard)
            place.progress = head.heard
            place.num_returns, place.avoid = 0, frozenset()
        elif verdict is Verdict.MISMATCH:
            self.counts.mismatches += 1
            logger.error(
                "%s: %s contradicts a token that was emitted before, which stands: %s", name, head.link.key, message
            )
        elif verdict is Verdict.GAP:
            self.counts.gaps += 1
            head.link.abort(f"token {message.position} of {name} came while {len(place.generation.tokens)} were known")
            return
        if place.generation.is_over:
            self._release(head, place)
            self._end(place, place.generation.finish)

    def _scored(self, head: Head, place: Place, message: Scored) -> None:
        generation = place.generation
        verdict = generation.take_scores(message.position, message.logprobs)
        if verdict is Verdict.NEW:
            place.progress = head.heard
        elif verdict is Verdict.GAP:
            self.counts.gaps += 1
            known = len(generation.prompt_scores)
            head.link.abort(f"scores from {message.position} of {generation.name} came while {known} were known")

    def _measure(self, place: Place, now: float) -> None:
        if len(place.generation.tokens) == 1:
            place.first_seconds = now - place.opened
            self._metrics.first_token(place.first_seconds)
        else:
            self._metrics.next_token(now - place.progress)

    def _returned(self, head: Head, place: Place, message: Returned) -> None:
        request = message.request.hex()
        logger.info("%s returned by %s as %s: %s", place.generation.name, head.link.key, request, message.reason)
        self._release(head, place)
        place.avoid = frozenset({head.link.key})
        self._retry(place)

    def _overloaded(self, head: Head, place: Place, message: Refused) -> None:
        """Another head may have room. Where none has, a request that has not begun is turned away, others wait."""
        self._release(head, place)
        place.avoid |= {head.link.key}
        if any(place.generation.replica in (None, key.replica) for key in self._heads.keys() - place.avoid):
            self._place(place)
        elif place.generation.tokens:
            place.avoid = frozenset()
            self._retry(place)
        else:
            self.counts.overloaded += 1
            self._fail(place, overloaded(message.message))

    def _retry(self, place: Place) -> None:
        place.num_returns += 1
        if place.num_returns > 1 or len(self._heads) == 1:
            place.not_before = self._now() + min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2**place.num_returns)
        self._resubmit(place)

    def _resubmit(self, place: Place) -> None:
        self.counts.resubmitted += 1
        self._place(place)

    def _place_waiting(self) -> None:
        for place in list(self._places.values()):
            if place.head is None:
                self._place(place)

    def _place(self, place: Place) -> None:
        """Submit to the best head there is, or leave it waiting."""
        if place.not_before > self._now():
            return
        key = choose(
            self._loads(place),
            avoid=place.avoid,
            first=self._first,
            prefix=place.prefix,
            streams_per_lane=self._streams_per_lane,
        )
        if key is None:
            return
        generation, head = place.generation, self._heads[key]
        place.attempt += 1
        # Every attempt has an id of its own, so that a late word of an earlier head is nobody's. The client's own is
        # no part of it, as nobody says that it is the only one; the log has both.
        place.request = place.key + place.attempt.to_bytes(4, "big")
        place.head = key
        head.places[place.request] = place
        logger.info(
            "%s goes to %s as %s with %d tokens of its answer",
            generation.name, key, place.request.hex(), len(generation.tokens),
        )  # fmt: skip
        head.link.send(
            Submit(
                request=place.request,
                prompt=generation.prompt,
                generated=tuple(generation.tokens),
                sampling=generation.sampling,
                max_tokens=generation.max_tokens,
                stop_tokens=generation.stop_tokens,
                priority=generation.priority,
                prompt_logprobs=generation.prompt_logprobs_left,
                name=generation.name,
            )
        )

    def _loads(self, place: Place) -> list[HeadLoad]:
        """Of the heads that may have it; of its own alone, while that is there and has not just declined."""
        generation = place.generation
        loads = [
            HeadLoad(key=key, num_lanes=head.link.num_open_lanes, num_outstanding=head.num_outstanding)
            for key, head in self._heads.items()
            if generation.replica in (None, key.replica)
        ]
        return [one for one in loads if one.key.rank == generation.head and one.key not in place.avoid] or loads

    def _is_stuck(self, place: Place, now: float) -> bool:
        """Nobody has it, or whoever has it has said nothing about anything for as long."""
        head = self._heads.get(place.head) if place.head is not None else None
        return head is None or now - head.heard >= self._hold_seconds

    def _give_up(self, place: Place) -> None:
        self.counts.gave_up += 1
        error = no_capacity(hold_seconds=self._hold_seconds, connected_heads=len(self._heads))
        self._fail(place, error)

    def _fail(self, place: Place, error: ApiError) -> None:
        logger.warning("%s: %s", place.generation.name, error)
        self._end(place, "error")
        place.generation.fail(error)

    def _end(self, place: Place, finish: str) -> None:
        """It is over, and whoever still has it need not go on."""
        del self._places[place.generation]
        self._withdraw(place)
        self._metrics.ended(
            finish,
            seconds=self._now() - place.opened,
            num_tokens=len(place.generation.tokens),
            first_seconds=place.first_seconds,
        )

    def _release(self, head: Head, place: Place) -> None:
        """The head is done with it."""
        del head.places[place.request]
        place.head = None

    def _withdraw(self, place: Place) -> None:
        """Take it from the head that has it."""
        head = self._heads.get(place.head) if place.head is not None else None
        if head is not None and head.places.pop(place.request, None) is not None:
            head.link.send(Cancel(place.request))
        place.head = None
