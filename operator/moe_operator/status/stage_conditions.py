"""A stage's conditions: Available, Progressing and Degraded, each with the one reason that matters most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from moe_api import conditions
from moe_api.conditions import Condition, ConditionStatus
from moe_api.names import ConditionType, Reason
from moe_api.stage import MaskedRank
from moe_operator.decide.leaving import find_leaving
from moe_operator.decide.seats import Seats, has_started
from moe_operator.decide.words import masked_words, numbered, still_leaving

LISTED = 3


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the conditions are judged by: the live and the planned hosts of every expert, by its id."""

    seats: Seats
    copies: Mapping[int, int]
    planned_copies: Mapping[int, int]

    @property
    def unhosted(self) -> list[int]:
        """Experts that no rank is to serve."""
        return [expert.expert for expert in self.seats.snapshot.stage.spec.experts if not expert.ranks]

    @property
    def homeless_lanes(self) -> list[int]:
        return [lane.lane for lane in self.seats.snapshot.stage.spec.lanes if lane.rank is None]

    @property
    def unserved_lanes(self) -> list[int]:
        """Lanes whose rank does not serve yet: what a stage of dense layers, without experts, is judged by."""
        spec = self.seats.snapshot.stage.spec
        serving = {seat.rank for seat in spec.ranks if self.seats.is_serving(seat)}
        return [lane.lane for lane in spec.lanes if lane.rank not in serving]

    @property
    def masked(self) -> list[MaskedRank]:
        return self.seats.snapshot.stage.spec.masked

    def reason(self, described: Iterable[Condition]) -> str:
        """The word for the column: what is lost before what is reduced before what is on its way."""
        found = {condition.type: condition for condition in described}
        available, degraded = found[ConditionType.AVAILABLE], found[ConditionType.DEGRADED]
        progressing = found[ConditionType.PROGRESSING]
        if available.status != "True" and degraded.status != "True":
            return available.reason
        return degraded.reason if degraded.status == "True" else _reason_in_peace(available, progressing)


def stage_conditions(facts: Facts) -> list[Condition]:
    """All three, without their transition times."""
    generation = facts.seats.snapshot.stage.metadata.generation
    judged = (_available(facts), _progressing(facts), _degraded(facts))
    return [condition.model_copy(update={"observed_generation": generation}) for condition in judged]


def _reason_in_peace(available: Condition, progressing: Condition) -> str:
    return progressing.reason if progressing.status == "True" else available.reason


def _available(facts: Facts) -> Condition:
    unready = [expert for expert, count in facts.copies.items() if not count]
    if facts.unhosted:
        message = f"{numbered('expert', facts.unhosted)} lost: no rank is left to host; heal a GPU or replace its node"
        return _condition(ConditionType.AVAILABLE, "False", Reason.EXPERTS_LOST, message)
    if facts.homeless_lanes:
        message = (
            f"{numbered('lane', facts.homeless_lanes)} without a rank: engine.lanesPerRank ="
            f" {facts.seats.snapshot.stage.spec.engine.lanes_per_rank} is used up on the ranks that are left;"
            " heal a GPU or replace its node"
        )
        return _condition(ConditionType.AVAILABLE, "False", Reason.LANES_LOST, message)
    if unready:
        reason = Reason.EXPERTS_STARTING if has_started(facts.seats.snapshot.stage) else Reason.STARTING
        return _condition(ConditionType.AVAILABLE, "False", reason, _unready_words(unready, facts))
    idle = [] if facts.copies else facts.unserved_lanes
    if idle:
        reason = Reason.EXPERTS_STARTING if has_started(facts.seats.snapshot.stage) else Reason.STARTING
        return _condition(ConditionType.AVAILABLE, "False", reason, f"{numbered('lane', idle)} wait for their ranks")
    message = f"{len(facts.copies)} of {len(facts.copies)} experts ready"
    return _condition(ConditionType.AVAILABLE, "True", Reason.ALL_EXPERTS_READY, message)


def _unready_words(unready: list[int], facts: Facts) -> str:
    hosts = {expert.expert: expert.ranks for expert in facts.seats.snapshot.stage.spec.experts}
    listed = [f"expert {expert} starts on {numbered('rank', hosts[expert])}" for expert in unready[:LISTED]]
    more = f" and {len(unready) - LISTED} more" if len(unready) > LISTED else ""
    ready = len(facts.copies) - len(unready)
    return f"{ready} of {len(facts.copies)} experts ready; {', '.join(listed)}{more}"


def _progressing(facts: Facts) -> Condition:
    pods, spec = facts.seats.pods, facts.seats.snapshot.stage.spec
    waiting = {node_rank: pod for node_rank, pod in pods.items() if pod is None or pod.report is None}
    if waiting:
        whys = [f"{pod.name}: {pod.waiting or 'starting'}" for pod in waiting.values() if pod is not None]
        message = f"waiting for {len(waiting)} of {len(pods)} pods: {'; '.join(whys) or 'being created'}"
        return _condition(ConditionType.PROGRESSING, "True", Reason.WAITING_FOR_PODS, message)
    masked = {mask.rank for mask in spec.masked}
    starting = [s.rank for s in spec.ranks if s.rank not in masked and not facts.seats.is_serving(s)]
    if starting:
        message = f"waiting for {numbered('rank', starting)} to serve"
        return _condition(ConditionType.PROGRESSING, "True", Reason.WAITING_FOR_WORKERS, message)
    loading = [expert.expert for expert in spec.experts if expert.loading or not facts.copies[expert.expert]]
    if loading and not facts.unhosted:
        message = f"loading {numbered('expert', loading)}"
        return _condition(ConditionType.PROGRESSING, "True", Reason.LOADING_EXPERTS, message)
    left = still_leaving(spec, find_leaving(facts.seats))
    if left is not None:
        return _condition(ConditionType.PROGRESSING, "True", *left)
    return _condition(ConditionType.PROGRESSING, "False", Reason.COMPLETE, "nothing left to do")


def _degraded(facts: Facts) -> Condition:
    errors = _errors(facts.seats)
    masks = "; ".join(masked_words(mask) for mask in facts.masked)
    if facts.unhosted:
        message = f"{numbered('expert', facts.unhosted)} lost; {masks}"
        return _condition(ConditionType.DEGRADED, "True", Reason.EXPERTS_LOST, message)
    if errors:
        return _condition(ConditionType.DEGRADED, "True", Reason.WORKER_ERROR, "; ".join(errors))
    if facts.masked:
        covered = "every expert covered" if all(facts.copies.values()) else "its experts are being rehosted"
        return _condition(ConditionType.DEGRADED, "True", _mask_reason(facts.masked), f"{masks}, {covered}")
    reduced = [expert for expert, live in facts.copies.items() if 0 < live < facts.planned_copies[expert]]
    if has_started(facts.seats.snapshot.stage) and reduced and all(facts.copies.values()):
        worst = min(reduced, key=lambda expert: facts.copies[expert])
        live, planned = facts.copies[worst], facts.planned_copies[worst]
        message = f"expert {worst} has {live} live {'copy' if live == 1 else 'copies'}, {planned} are planned"
        return _condition(ConditionType.DEGRADED, "True", Reason.COVERAGE_REDUCED, message)
    return _condition(ConditionType.DEGRADED, "False", Reason.HEALTHY, "every rank and every expert is well")


def _mask_reason(masked: list[MaskedRank]) -> Reason:
    causes = {mask.reason for mask in masked}
    return Reason.RANK_MASKED if Reason.GPU_FAILED in causes else Reason.POD_LOST


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


def _condition(type_: ConditionType, status: ConditionStatus, reason: Reason, message: str) -> Condition:
    return conditions.Condition(type=type_, status=status, reason=reason, message=message[:32768])
