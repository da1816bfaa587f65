"""A MoEDeployment's conditions: the four that it always has; TargetsMet and PlacesKnown where they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from moe_api.conditions import Condition, ConditionStatus, find, is_true
from moe_api.names import ConditionType, Reason
from moe_api.stage import MoEStage
from moe_operator.decide.actions import Verdict
from moe_operator.status.targets import targets_met

LISTED = 3
NO_PLAN = "there is no plan to put into effect"
# Of several stages with different troubles, the graver one gives its reason.
GRAVITY = (
    Reason.EXPERTS_LOST,
    Reason.LANES_LOST,
    Reason.BREAKER_OPEN,
    Reason.WORKER_ERROR,
    Reason.EXPERTS_STARTING,
    Reason.STARTING,
    Reason.HOST_SILENT,
    Reason.NODE_LOST,
    Reason.POD_LOST,
    Reason.GPU_FLAPPING,
    Reason.RANK_MASKED,
    Reason.GPU_REPORTED_BAD,
    Reason.GPU_SLOW,
    Reason.COVERAGE_REDUCED,
    Reason.WAITING_FOR_PODS,
    Reason.WAITING_FOR_WORKERS,
    Reason.LOADING_EXPERTS,
)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What the conditions of a MoEDeployment are judged by; `targets` are the fields of spec.targets that are set.

    `unknown_places` are the entries of spec.failover that name nothing, None where it has no such entries at all.
    """

    generation: int
    verdict: Verdict
    stages: tuple[MoEStage, ...]
    num_replicas: int
    targets: tuple[str, ...]
    wants_gateway: bool
    has_gateway: bool
    unknown_places: tuple[str, ...] | None = None

    @property
    def is_ignoring(self) -> bool:
        """Whether stages run that were made for an older spec, because the present one is refused."""
        return not self.verdict.is_planned and bool(self.stages)

    def by_replica(self) -> dict[int, list[MoEStage]]:
        grouped: dict[int, list[MoEStage]] = {}
        for stage in self.stages:
            grouped.setdefault(stage.spec.replica, []).append(stage)
        return grouped

    def place(self, stage: MoEStage) -> str:
        """`stage 2`, or with several replicas `replica 1 stage 2`."""
        prefix = f"replica {stage.spec.replica} " if self.num_replicas > 1 else ""
        return f"{prefix}stage {stage.spec.stage}"


def deployment_conditions(total: Sum) -> list[Condition]:
    """All of them, without their transition times."""
    judged = [_planned(total), _available(total), _progressing(total), _degraded(total)]
    if total.targets:
        judged.append(targets_met(total.verdict, total.targets))
    if total.unknown_places is not None:
        judged.append(_places_known(total.unknown_places))
    return [condition.model_copy(update={"observed_generation": total.generation}) for condition in judged]


def leading_reason(conditions: Iterable[Condition]) -> str:
    """The word for the column: a refusal, then what is down, reduced, on its way, and else that all is well."""
    found = list(conditions)
    planned, available = find(found, ConditionType.PLANNED), find(found, ConditionType.AVAILABLE)
    degraded, progressing = find(found, ConditionType.DEGRADED), find(found, ConditionType.PROGRESSING)
    assert planned is not None, "it is always described"
    assert available is not None, "it is always described"
    assert degraded is not None, "it is always described"
    assert progressing is not None, "it is always described"
    if planned.status != "True":
        return planned.reason
    if degraded.status == "True":
        return degraded.reason
    return progressing.reason if progressing.status == "True" else available.reason


def _planned(total: Sum) -> Condition:
    verdict = total.verdict
    return _condition(ConditionType.PLANNED, "True" if verdict.is_planned else "False", verdict.reason, verdict.message)


def _available(total: Sum) -> Condition:
    if not total.stages:
        if not total.verdict.is_planned:
            return _condition(ConditionType.AVAILABLE, "False", Reason.NOT_PLANNED, NO_PLAN)
        if total.num_replicas == 0:
            return _condition(ConditionType.AVAILABLE, "False", Reason.STOPPED, "spec.replicas is 0")
    missing = _missing_stages(total)
    unready = [s for s in total.stages if not is_true(s.status.conditions, ConditionType.AVAILABLE)]
    if missing or unready:
        reason, words = _gravest(total, unready, ConditionType.AVAILABLE)
        words = "; ".join(filter(None, [f"{missing} stages are being created" if missing else "", words]))
        return _condition(ConditionType.AVAILABLE, "False", reason or Reason.STARTING, words)
    if total.wants_gateway and not total.has_gateway:
        message = "every expert is ready; no gateway pod is"
        return _condition(ConditionType.AVAILABLE, "False", Reason.GATEWAY_NOT_READY, message)
    ready = sum(stage.status.ready_experts for stage in total.stages)
    return _condition(ConditionType.AVAILABLE, "True", Reason.ALL_EXPERTS_READY, f"{ready} of {ready} experts ready")


def _progressing(total: Sum) -> Condition:
    moving = [s for s in total.stages if not s.status.conditions or _is_progressing(s)]
    if total.is_ignoring:
        return _condition(ConditionType.PROGRESSING, "False", total.verdict.reason, "the spec is not put into effect")
    if not total.verdict.is_planned:
        return _condition(ConditionType.PROGRESSING, "False", total.verdict.reason, NO_PLAN)
    missing = _missing_stages(total)
    if missing:
        return _condition(ConditionType.PROGRESSING, "True", Reason.STARTING, f"{missing} stages are being created")
    waiting = _pod_words(total)
    if waiting:
        return _condition(ConditionType.PROGRESSING, "True", Reason.WAITING_FOR_PODS, waiting)
    if moving:
        reason, words = _gravest(total, moving, ConditionType.PROGRESSING)
        return _condition(ConditionType.PROGRESSING, "True", reason or Reason.STARTING, words)
    return _condition(ConditionType.PROGRESSING, "False", Reason.COMPLETE, "nothing left to do")


def _is_progressing(stage: MoEStage) -> bool:
    return is_true(stage.status.conditions, ConditionType.PROGRESSING)


def _degraded(total: Sum) -> Condition:
    reduced = [s for s in total.stages if is_true(s.status.conditions, ConditionType.DEGRADED)]
    reason, words = _gravest(total, reduced, ConditionType.DEGRADED)
    if total.is_ignoring:
        words = "; ".join(filter(None, [total.verdict.message, words]))
        return _condition(ConditionType.DEGRADED, "True", total.verdict.reason, words)
    if reduced:
        return _condition(ConditionType.DEGRADED, "True", reason, words)
    return _condition(ConditionType.DEGRADED, "False", Reason.HEALTHY, "every stage is well")


def _places_known(unknown: tuple[str, ...]) -> Condition:
    if unknown:
        return _condition(ConditionType.PLACES_KNOWN, "False", Reason.UNKNOWN_PLACE, ". ".join(unknown))
    message = "every node and GPU that spec.failover names is there"
    return _condition(ConditionType.PLACES_KNOWN, "True", Reason.PLACES_FOUND, message)


def _missing_stages(total: Sum) -> int:
    """Stages that the plan has and the cluster not yet."""
    return max(0, total.verdict.num_stages - len(total.stages)) if total.verdict.is_planned else 0


def _pod_words(total: Sum) -> str:
    """`waiting for 3 of 32 pods: ...`, with the reason that the first stage gives; "" when none is waited for."""
    waiting = [
        stage.status.conditions
        for stage in total.stages
        if (found := find(stage.status.conditions, ConditionType.PROGRESSING))
        and found.status == "True"
        and found.reason == Reason.WAITING_FOR_PODS
    ]
    if not waiting:
        return ""
    states = {rank.pod: rank.state for stage in total.stages for rank in stage.status.ranks}
    pods = {rank.pod for stage in total.stages for rank in stage.spec.ranks}
    missing = sum(1 for pod in pods if states.get(pod, "pending") in ("pending", "lost"))
    first = find(waiting[0], ConditionType.PROGRESSING)
    why = first.message.partition(": ")[2] if first else ""
    return f"waiting for {missing} of {len(pods)} pods: {why}"


def _gravest(total: Sum, stages: list[MoEStage], type_: ConditionType) -> tuple[str, str]:
    """The gravest reason among the stages' conditions, and the words of the first few."""
    told = [(stage, found) for stage in stages if (found := find(stage.status.conditions, type_))]
    told.sort(key=lambda pair: _gravity(pair[1].reason))
    words = [f"{total.place(stage)}: {found.message}" for stage, found in told[:LISTED]]
    if len(stages) > LISTED:
        words.append(f"and {len(stages) - LISTED} more stages")
    return (told[0][1].reason if told else ""), "; ".join(words)


def _gravity(reason: str) -> int:
    return next((place for place, known in enumerate(GRAVITY) if known == reason), len(GRAVITY))


def _condition(type_: ConditionType, status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message[:32768])
