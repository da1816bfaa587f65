"""A stage's conditions: Available and Progressing are judged here, each with the one reason that matters most."""

from __future__ import annotations

from collections.abc import Iterable

from moe_api.conditions import Condition
from moe_api.names import ConditionType, Reason
from moe_operator.decide.seats import has_started
from moe_operator.decide.words import numbered, still_leaving
from moe_operator.status.degraded import degraded
from moe_operator.status.facts import Facts, condition

LISTED = 3


def leading_reason(described: Iterable[Condition]) -> str:
    """The word for the column: what is lost before what is reduced before what is on its way."""
    found = {one.type: one for one in described}
    available, reduced = found[ConditionType.AVAILABLE], found[ConditionType.DEGRADED]
    progressing = found[ConditionType.PROGRESSING]
    if available.status != "True" and reduced.status != "True":
        return available.reason
    return reduced.reason if reduced.status == "True" else _reason_in_peace(available, progressing)


def stage_conditions(facts: Facts) -> list[Condition]:
    """All three, without their transition times."""
    generation = facts.seats.snapshot.stage.metadata.generation
    judged = (_available(facts), _progressing(facts), degraded(facts))
    return [one.model_copy(update={"observed_generation": generation}) for one in judged]


def _reason_in_peace(available: Condition, progressing: Condition) -> str:
    return progressing.reason if progressing.status == "True" else available.reason


def _available(facts: Facts) -> Condition:
    unready = [expert for expert, count in facts.copies.items() if not count]
    if facts.unhosted:
        message = f"{numbered('expert', facts.unhosted)} lost: no rank is left to host; heal a GPU or replace its node"
        return condition(ConditionType.AVAILABLE, "False", Reason.EXPERTS_LOST, message)
    if facts.homeless_lanes:
        message = (
            f"{numbered('lane', facts.homeless_lanes)} without a rank: engine.lanesPerRank ="
            f" {facts.seats.snapshot.stage.spec.engine.lanes_per_rank} is used up on the ranks that are left;"
            " heal a GPU or replace its node"
        )
        return condition(ConditionType.AVAILABLE, "False", Reason.LANES_LOST, message)
    if unready:
        reason = Reason.EXPERTS_STARTING if has_started(facts.seats.snapshot.stage) else Reason.STARTING
        return condition(ConditionType.AVAILABLE, "False", reason, _unready_words(unready, facts))
    idle = [] if facts.copies else facts.unserved_lanes
    if idle:
        reason = Reason.EXPERTS_STARTING if has_started(facts.seats.snapshot.stage) else Reason.STARTING
        return condition(ConditionType.AVAILABLE, "False", reason, f"{numbered('lane', idle)} wait for their ranks")
    message = f"{len(facts.copies)} of {len(facts.copies)} experts ready"
    return condition(ConditionType.AVAILABLE, "True", Reason.ALL_EXPERTS_READY, message)


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
        return condition(ConditionType.PROGRESSING, "True", Reason.WAITING_FOR_PODS, message)
    masked = {mask.rank for mask in spec.masked}
    starting = [s.rank for s in spec.ranks if s.rank not in masked and not facts.seats.is_serving(s)]
    if starting:
        message = f"waiting for {numbered('rank', starting)} to serve"
        return condition(ConditionType.PROGRESSING, "True", Reason.WAITING_FOR_WORKERS, message)
    loading = [expert.expert for expert in spec.experts if expert.loading or not facts.copies[expert.expert]]
    if loading and not facts.unhosted:
        message = f"loading {numbered('expert', loading)}"
        return condition(ConditionType.PROGRESSING, "True", Reason.LOADING_EXPERTS, message)
    left = still_leaving(spec, facts.evidence.leaving)
    if left is not None:
        return condition(ConditionType.PROGRESSING, "True", *left)
    return condition(ConditionType.PROGRESSING, "False", Reason.COMPLETE, "nothing left to do")
