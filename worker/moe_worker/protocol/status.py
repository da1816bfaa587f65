"""What a rank tells about itself: for the supervisor's report, the metrics, and the tests that look for leaks."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """A lane of which this rank is the head. `live`: its Reset has come round, so steps flow.

    Of its `blocks`, some are used by running sequences and some keep a prefix that another sequence may share; the rest
    is free. Of all tokens of the sequences admitted so far (`tokens_admitted`), `tokens_found` were in the cache.
    """

    lane: int
    term: int
    live: bool
    waiting: int
    running: int
    steps_in_flight: int
    blocks: int
    blocks_used: int
    blocks_cached: int
    tokens_admitted: int
    tokens_found: int

    def figures(self) -> dict[str, int]:
        """How much there is to do and how full the cache is, as plain data."""
        return {
            "lane": self.lane,
            "waiting": self.waiting,
            "running": self.running,
            "blocks": self.blocks,
            "blocks_used": self.blocks_used,
            "blocks_cached": self.blocks_cached,
            "tokens_admitted": self.tokens_admitted,
            "tokens_found": self.tokens_found,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStatus:
    """One rank at one moment. `stalled` names the experts for which sub-batches wait without any reachable host.

    `outstanding` sub-batches this rank has asked, `queued` ones it has been asked; the rows are those of bounds.py.
    `sent_again` counts the sub-batches that had to be asked for once more, `breaks` the lives of lanes that ended here,
    by cause (lane.py). `rows_served` counts, for each expert, the tokens that this rank has run through it since it was
    started, `passes` in how many goes.
    """

    epoch: int
    held: tuple[int, ...]
    loading: tuple[int, ...]
    failed: Mapping[int, str]
    lanes: tuple[int, ...]
    headed: tuple[LaneStatus, ...]
    outstanding: int
    stalled: tuple[int, ...]
    queued: int
    step_rows: int
    asked_rows: int
    queued_rows: int
    rows_served: Mapping[int, int]
    passes: int
    sent_again: int
    breaks: Mapping[str, int]
    requests: int
    blocks_used: int
