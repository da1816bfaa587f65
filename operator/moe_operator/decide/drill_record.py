"""The record of drills in a MoEDeployment's status: how each is told, and the events of what is new in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from moe_api.conditions import rfc3339
from moe_api.deployment import DrillStatus
from moe_api.drill import CanaryReport
from moe_api.engine import DrillSpec
from moe_api.names import Reason
from moe_api.quantity import parse_seconds
from moe_api.stage import MoEStage, RehearsalSpec
from moe_operator.decide.actions import Event
from moe_operator.decide.words import place

KEPT_DRILLS = 16
DEEDS = {
    "exit": "the process of {place} is killed",
    "hang": "the process of {place} is stopped",
    "device": "the GPU of {place} is taken for broken",
}
REASONS = {
    "running": Reason.DRILL_STARTED,
    "passed": Reason.DRILL_PASSED,
    "failed": Reason.DRILL_FAILED,
    "refused": Reason.DRILL_REFUSED,
}


def recorded(known: Sequence[DrillStatus], drill: DrillStatus) -> tuple[DrillStatus, ...]:
    """The record with this drill in the place of the one of its name; the last 16."""
    if any(one.name == drill.name for one in known):
        return tuple(drill if one.name == drill.name else one for one in known)
    return (*known, drill)[-KEPT_DRILLS:]


def waiting(name: str, wanted: DrillSpec, obstacle: str) -> DrillStatus:
    """A drill that is due and cannot be made yet."""
    return DrillStatus(name=name, verdict="waiting", failure=wanted.failure, message=f"waits: {obstacle}")


def refused(name: str, wanted: DrillSpec, message: str, now: datetime) -> DrillStatus:
    """A drill that must not be made."""
    return DrillStatus(name=name, verdict="refused", failure=wanted.failure, message=message, ended=rfc3339(now))


def started(rehearsal: RehearsalSpec, target: MoEStage | None) -> DrillStatus:
    """A drill whose requests are being put under way."""
    seats = target.status.ranks if target else []
    seat = next((seat for seat in seats if seat.rank == rehearsal.rank), None)
    where = place(rehearsal.rank, seat.node if seat else None, seat.gpu if seat else None)
    return DrillStatus(
        name=rehearsal.name,
        verdict="running",
        message=DEEDS[rehearsal.failure].format(place=where),
        failure=rehearsal.failure,
        replica=target.spec.replica if target else None,
        stage=target.spec.stage if target else None,
        rank=rehearsal.rank,
        started=rehearsal.since,
    )


def judged(
    record: DrillStatus, rehearsal: RehearsalSpec, report: CanaryReport | None, *, is_broken: bool, now: datetime
) -> DrillStatus:
    """With its verdict: `report` is the gateway's last word, `is_broken` whether anything was made to fail."""
    faults = [rehearsal.fault] if rehearsal.fault else []
    faults += _faults(rehearsal, report)
    verdict = "refused" if not is_broken else "failed" if faults else "passed"
    told = faults if is_broken else faults[:1]
    figures = _figures(report) if report and is_broken else {}
    met = f"longest wait for a token {report.stall_ms} ms, no failed request" if report else ""
    message = f"{record.message}: {'; '.join(told) or met}"
    ended = {"verdict": verdict, "message": message, "ended": rfc3339(now)}
    return record.model_copy(update=ended | figures)


def drill_events(before: Iterable[DrillStatus], after: Iterable[DrillStatus]) -> list[Event]:
    """One for each drill that was begun, judged or refused since; waiting is no news."""
    known = {drill.name: drill.verdict for drill in before}
    return [
        Event(
            reason=REASONS[drill.verdict],
            message=f"drill {drill.name}: {drill.message}",
            is_warning=drill.verdict in ("failed", "refused"),
        )
        for drill in after
        if drill.verdict != known.get(drill.name) and drill.verdict in REASONS
    ]


def _figures(report: CanaryReport) -> dict[str, int]:
    return {"stall_ms": report.stall_ms, "failed_requests": report.failed, "wrong_answers": report.wrong}


def _faults(rehearsal: RehearsalSpec, report: CanaryReport | None) -> list[str]:
    """What the requests met that they should not have met."""
    if report is None:
        return [f"gateway pod {rehearsal.gateway} did not tell what its requests met"]
    faults = []
    if report.failed:
        faults.append(f"{report.failed} failed requests ({report.reason})")
    if report.wrong:
        faults.append(f"{report.wrong} answers with other tokens")
    if report.stall_ms >= parse_seconds(rehearsal.stall_below) * 1000:
        faults.append(f"longest wait for a token {report.stall_ms} ms, below {rehearsal.stall_below} is wanted")
    return faults
