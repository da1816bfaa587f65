"""Waits and rates, from times of arrival alone. Pure: seconds of one clock in, seconds out."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from demo.streams import Stream


def longest_gap(arrivals: Sequence[float], began: float, ended: float) -> tuple[float, float] | None:
    """The longest wait between two tokens of which some part lies between the two moments: its begin and its end.

    None where there is none, because the stream had ended or had no token yet.
    """
    pairs = itertools.pairwise(arrivals)
    gaps = [(earlier, later) for earlier, later in pairs if later > began and earlier < ended]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=None)


def arrivals_until(stream: Stream, now: float) -> list[float]:
    """The tokens' times; of a stream that still runs, also now, so that a wait which has no end yet counts."""
    return [*stream.arrivals, *([] if stream.finish or stream.error else [now])]


def is_through(stream: Stream, moment: float) -> bool:
    """Whether a stream has ended, or has a token that came after `moment`."""
    return bool(stream.finish or stream.error) or (bool(stream.arrivals) and stream.arrivals[-1] > moment)


def num_tokens(streams: Iterable[Stream], began: float, ended: float) -> int:
    """Tokens that came between the two moments."""
    return sum(began <= at < ended for stream in streams for at in list(stream.arrivals))


def bins(streams: Sequence[Stream], began: float, width: float, number: int) -> list[int]:
    """Tokens in each of so many spans of `width` seconds."""
    counts = [0] * number
    for stream in streams:
        for at in list(stream.arrivals):
            index = int((at - began) // width)
            if 0 <= index < number:
                counts[index] += 1
    return counts


def inter_token_times(streams: Iterable[Stream], began: float, ended: float) -> list[float]:
    """Every wait between two tokens that ended between the two moments."""
    return [
        later - earlier
        for stream in streams
        for earlier, later in itertools.pairwise(list(stream.arrivals))
        if began <= later < ended
    ]


def longest_per_window(streams: Iterable[Stream], began: float, ended: float, width: float) -> list[float]:
    """Each stream's longest wait in each window: what a stall that a failure caused is to be held against."""
    found = []
    for stream in streams:
        arrivals = list(stream.arrivals)
        for start in _starts(began, ended, width):
            gap = longest_gap(arrivals, start, start + width)
            if gap is not None:
                found.append(gap[1] - gap[0])
    return found


def common_silence(streams: Iterable[Stream], began: float, ended: float) -> tuple[float, float]:
    """The longest time in which no stream at all had a token: from when to when."""
    arrivals = sorted(at for stream in streams for at in list(stream.arrivals) if began <= at < ended)
    marks = [began, *arrivals]
    pairs = list(itertools.pairwise([*marks, ended] if not arrivals else marks))
    return max(pairs, key=lambda pair: pair[1] - pair[0])


def spread(values: Sequence[float]) -> str:
    """Median, and from least to most, for people; seconds as milliseconds."""
    if not values:
        return "-"
    return f"{1000 * median(values):.0f} ms ({1000 * min(values):.0f} to {1000 * max(values):.0f})"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are at most."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _starts(began: float, ended: float, width: float) -> Iterator[float]:
    start = began
    while start + width <= ended:
        yield start
        start += width
