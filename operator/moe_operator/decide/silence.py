"""Which pods of a stage are silent, by the word of those who should hear them: a vote of the reports.

Knows who accuses whom; nothing of nodes. A node that the API server has lost sight of silences nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from moe_api.moment import moment_of
from moe_operator.snapshot import Pod

SILENT_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """`since` when each silent pod, by node rank, is not heard; `look_again` is when a complaint is old enough."""

    since: Mapping[int, datetime]
    look_again: datetime | None = None


def find_silence(
    pods: Mapping[int, Pod], neighbours: Iterable[Pod], now: datetime, *, known: Collection[int] = ()
) -> Silence:
    """Those of whom most of the other pods of the stage say for 2 s that they do not hear them.

    `pods` are the living pods of the stage by node rank, `neighbours` those of the other stages. The most accused goes
    first and its own word counts no more: of two halves that do not hear each other one stays, the one that the
    neighbours hear, else the one that was not silent before (`known` were), else the one with the lower node ranks.
    Half the votes are enough where the neighbours agree, or where it was so before: neighbours speak only to ranks that
    serve, so they have nothing to say of one that was left.
    """
    able = {node_rank: pod for node_rank, pod in pods.items() if _serving(pod)}
    complaints = {
        (accuser, accused): since
        for accuser, pod in able.items()
        for accused, other in able.items()
        if accuser != accused and (since := _unheard_since(pod, other)) is not None
    }
    ripe = {pair: since for pair, since in complaints.items() if now - since >= SILENT_AFTER}
    outside = tuple(pod for pod in neighbours if _serving(pod))
    silent = _outvoted(able, frozenset(ripe), outside, now, known)
    return Silence(
        since={accused: max(since for pair, since in ripe.items() if pair[1] == accused) for accused in silent},
        look_again=min((since + SILENT_AFTER for pair, since in complaints.items() if pair not in ripe), default=None),
    )


def _outvoted(
    able: Mapping[int, Pod],
    complaints: frozenset[tuple[int, int]],
    neighbours: tuple[Pod, ...],
    now: datetime,
    known: Collection[int],
) -> list[int]:
    """The node ranks that fall silent, one after the other."""
    left, silent = set(able), list[int]()
    while len(left) > 1:
        votes = {accused: sum(1 for accuser in left if (accuser, accused) in complaints) for accused in left}
        outside = {accused: _outside_votes(able[accused], neighbours, now) for accused in left if votes[accused]}
        agreed = {one for one in outside if one in known or outside[one] * 2 > len(neighbours)}
        accused = [one for one in outside if votes[one] * 2 > len(left) - 1 - (one in agreed)]
        if not accused:
            break
        worst = max(accused, key=lambda one: (votes[one], outside[one], one in known, one))
        silent.append(worst)
        left.discard(worst)
    return silent


def _outside_votes(accused: Pod, neighbours: tuple[Pod, ...], now: datetime) -> int:
    sinces = (_unheard_since(pod, accused) for pod in neighbours)
    return sum(1 for since in sinces if since is not None and now - since >= SILENT_AFTER)


def _unheard_since(accuser: Pod, accused: Pod) -> datetime | None:
    """Since when the accuser has heard none of the other's serving ranks; None while it hears one."""
    report = accuser.report
    said = {peer.rank: moment_of(peer.since) for peer in report.unreachable} if report else {}
    moments = [said.get(rank) for rank in _serving(accused)]
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def _serving(pod: Pod) -> list[int]:
    """The ranks that should be heard, by the pod's own last word."""
    seats = pod.report.seats if pod.report else []
    return [seat.rank for seat in seats if seat.state == "serving" and seat.gpu.healthy]
