"""The condition Degraded of a stage: the gravest thing that is wrong, and every rank that it is about."""

from __future__ import annotations

from moe_api.conditions import Condition, rfc3339
from moe_api.names import ConditionType, Reason
from moe_api.stage import MaskedRank, PauseSpec
from moe_operator.decide.history import failures_of
from moe_operator.decide.leaving import Leaving
from moe_operator.decide.seats import Seats, has_started
from moe_operator.decide.words import masked_words, numbered, place
from moe_operator.status.facts import Facts, condition

FLAPPING = 3
"""So many failures, each within an hour of the one before, and a GPU is called flapping."""
# Why a rank is emptied although it serves: those that are no person's wish.
BAD_GPU = (Reason.GPU_REPORTED_BAD, Reason.GPU_SLOW)
# Of several masked ranks, the graver cause gives the reason.
MASK_REASONS = {
    Reason.GPU_FAILED: Reason.RANK_MASKED,
    Reason.HOST_SILENT: Reason.HOST_SILENT,
    Reason.NODE_LOST: Reason.NODE_LOST,
    Reason.POD_LOST: Reason.POD_LOST,
}


def degraded(facts: Facts) -> Condition:
    """What is lost before why nothing is done, what only a person can mend, what is kept away, and what is fewer."""
    spec = facts.seats.snapshot.stage.spec
    errors = _errors(facts.seats)
    masks = "; ".join(_mask_words(mask, facts) for mask in facts.masked)
    if facts.unhosted:
        lost = f"{numbered('expert', facts.unhosted)} lost"
        return _true(Reason.EXPERTS_LOST, f"{lost}; {masks}" if masks else lost)
    if spec.paused is not None:
        paused = _pause_words(spec.paused, facts)
        return _true(Reason.BREAKER_OPEN, f"{paused}; {masks}" if masks else paused)
    if errors:
        return _true(Reason.WORKER_ERROR, "; ".join(errors))
    if facts.masked:
        covered = "every expert covered" if all(facts.copies.values()) else "its experts are being rehosted"
        return _true(_mask_reason(facts), f"{masks}, {covered}")
    bad = [one for one in facts.evidence.leaving.values() if one.reason in BAD_GPU]
    if bad:
        return _true(bad[0].reason, "; ".join(_leaving_words(one, facts) for one in bad))
    return _reduced(facts) or condition(
        ConditionType.DEGRADED, "False", Reason.HEALTHY, "every rank and every expert is well"
    )


def _reduced(facts: Facts) -> Condition | None:
    reduced = [expert for expert, live in facts.copies.items() if 0 < live < facts.planned_copies[expert]]
    if not (has_started(facts.seats.snapshot.stage) and reduced and all(facts.copies.values())):
        return None
    worst = min(reduced, key=lambda expert: facts.copies[expert])
    live, planned = facts.copies[worst], facts.planned_copies[worst]
    message = f"expert {worst} has {live} live {'copy' if live == 1 else 'copies'}, {planned} are planned"
    return _true(Reason.COVERAGE_REDUCED, message)


def _mask_words(mask: MaskedRank, facts: Facts) -> str:
    """What was wrong, how often, and from when on it hosts again where it is well."""
    failures = failures_of(facts.seats.snapshot.stage.spec, mask.node, mask.gpu, facts.now)
    end = facts.evidence.held.get(mask.rank)
    repeated = f", for the {_ordinal(failures)} time within an hour" if failures >= FLAPPING else ""
    until = f", well now, hosts again from {rfc3339(end)}" if end else ""
    return f"{masked_words(mask)}{repeated}{until}"


def _ordinal(number: int) -> str:
    """3rd, 4th, 11th, 22nd."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def _mask_reason(facts: Facts) -> Reason:
    spec = facts.seats.snapshot.stage.spec
    failed = [mask for mask in facts.masked if mask.reason == Reason.GPU_FAILED]
    if any(failures_of(spec, mask.node, mask.gpu, facts.now) >= FLAPPING for mask in failed):
        return Reason.GPU_FLAPPING
    causes = {mask.reason for mask in facts.masked}
    return next((told for cause, told in MASK_REASONS.items() if cause in causes), Reason.RANK_MASKED)


def _pause_words(pause: PauseSpec, facts: Facts) -> str:
    doubted = sorted(facts.evidence.doubted)
    return f"{pause.message}; here {numbered('rank', doubted)} failed" if doubted else pause.message


def _leaving_words(leaving: Leaving, facts: Facts) -> str:
    spec = facts.seats.snapshot.stage.spec
    hosts = any(leaving.rank in (*expert.ranks, *expert.loading) for expert in spec.experts)
    holds = hosts or any(lane.rank == leaving.rank for lane in spec.lanes)
    done = "what it holds is moved as far as others have room" if holds else "nothing is left on it"
    return f"{place(leaving.rank, leaving.node, leaving.gpu)}: {leaving.message}; {done}"


def _errors(seats: Seats) -> list[str]:
    """What workers say that only a person can mend; the same words from many pods count once."""
    said: dict[str, str] = {}
    for pod in seats.pods.values():
        report = pod.report if pod else None
        if pod is None or report is None:
            continue
        if report.error:
            said.setdefault(report.error, f"{pod.name}: {report.error}")
        for seat in report.seats:
            for failed in seat.failed:
                words = f"expert {failed.expert} cannot be loaded on rank {seat.rank}: {failed.reason}"
                said.setdefault(words, words)
    return list(said.values())


def _true(reason: Reason, message: str) -> Condition:
    return condition(ConditionType.DEGRADED, "True", reason, message)
