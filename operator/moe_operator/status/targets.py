"""The condition TargetsMet: what the plan predicts beside what is asked for. A prediction until workers measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moe_api.conditions import Condition, ConditionStatus
from moe_api.names import ConditionType, Reason
from moe_operator.decide.actions import Verdict
from moe_planner.judging import CHECKS
from moe_planner.render import amount
from moe_planner.result import Check

# The fields of spec.targets, and the lines of the plan's verification that judge them.
LINES: Mapping[str, tuple[str, ...]] = {
    "timeToFirstToken": CHECKS["ttft"],
    "timePerOutputToken": CHECKS["decode_latency"],
    "prefillThroughputPerGpu": CHECKS["prefill_throughput"],
    "decodeThroughputPerGpu": CHECKS["decode_throughput"],
    "memoryShare": CHECKS["memory_utilization"],
    "flopsShare": CHECKS["mfu"],
}
REMEDY = "write spec.hardware.profile, or flops, memoryBandwidth and a link"


def targets_met(verdict: Verdict, targets: Iterable[str]) -> Condition:
    """False naming what fails and its bound, Unknown where some target cannot be judged, True where all hold.

    `targets` are the fields of spec.targets that are set.
    """
    if not verdict.is_planned:
        return _condition("Unknown", Reason.NOT_PLANNED, "there is no plan to judge the targets by")
    checks = {check.name: check for check in verdict.verification}
    judged = [checks[name] for target in targets for name in LINES[target] if name in checks]
    missed = [check for check in judged if check.verdict != "holds"]
    if missed:
        is_unreachable = any(check.verdict == "unreachable" for check in missed)
        reason = Reason.TARGETS_UNREACHABLE if is_unreachable else Reason.TARGETS_MISSED
        return _condition("False", reason, "predicted: " + "; ".join(map(_words, missed)))
    unjudged = [target for target in targets if not checks.keys() & set(LINES[target])]
    if unjudged:
        message = f"{', '.join(unjudged)} cannot be judged: the GPUs' speed is not known; {REMEDY}"
        return _condition("Unknown", Reason.TARGETS_NOT_JUDGED, message)
    return _condition("True", Reason.TARGETS_HOLD, "predicted: " + "; ".join(map(_words, judged)))


def _words(check: Check) -> str:
    """`Decode step 3.55 ms of 100 ms holds`, and the bound of what does not."""
    error = "" if check.error is None else f" (±{check.error:.0%})"
    said = f"{check.name} {amount(check.value, check.unit)}{error} of {amount(check.limit, check.unit)} {check.verdict}"
    return said if check.verdict == "holds" or not check.bound else f"{said}, bound by the {check.bound}"


def _condition(status: ConditionStatus, reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.TARGETS_MET, status=status, reason=reason, message=message)
