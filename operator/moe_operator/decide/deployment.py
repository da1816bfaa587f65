"""One MoEDeployment: plan it, or say why not; which of its objects to write, create and delete. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moe_api import names
from moe_api.convert import layout_name
from moe_api.deployment import MoEDeployment, MoEDeploymentSpec
from moe_api.names import Reason
from moe_api.notes import accepted_spec, home_layout
from moe_api.stage import MoEStage
from moe_operator import errors
from moe_operator.api import Json
from moe_operator.decide.actions import DeploymentDecision, Verdict
from moe_operator.decide.changes import REMEDY, is_same_layout, refused_change, refused_layout
from moe_operator.decide.nodes import inputs_on
from moe_operator.decide.upkeep import stage_writes
from moe_operator.desire.access import access_objects
from moe_operator.desire.disruption import disruption_budget
from moe_operator.desire.gateway import gateway_objects
from moe_operator.desire.owner import is_owned_by
from moe_operator.desire.settings import Images
from moe_operator.desire.stages import new_stage
from moe_operator.resources import BUDGETS
from moe_operator.snapshot import DeploymentSnapshot
from moe_planner.errors import PlanError
from moe_planner.result import Plan


def decide_deployment(snapshot: DeploymentSnapshot, images: Images) -> DeploymentDecision:
    """What to do about the MoEDeployment. Raises Conflict while objects of a deleted namesake are still going."""
    deployment = snapshot.deployment
    if deployment is None:
        return DeploymentDecision(verdict=_refusal(Reason.PLAN_REFUSED, snapshot.invalid))
    conflict = _owner_conflict(snapshot)
    if conflict:
        return DeploymentDecision(verdict=_refusal(Reason.OWNER_CONFLICT, conflict))
    planned = _plan(snapshot, deployment)
    if isinstance(planned, Plan):
        return _decide(snapshot, deployment, planned, images)
    running = _running_deployment(snapshot, deployment)
    if running is None:
        return DeploymentDecision(verdict=planned)
    return DeploymentDecision(verdict=planned, **_upkeep(snapshot, running, images))


def _decide(
    snapshot: DeploymentSnapshot, deployment: MoEDeployment, planned: Plan, images: Images
) -> DeploymentDecision:
    existing = {(stage.spec.replica, stage.spec.stage) for stage in snapshot.stages}
    missing = [
        new_stage(deployment, planned, replica=replica, stage=layout.stage)
        for replica in range(deployment.spec.replicas)
        for layout in planned.layouts[replica].stages
        if (replica, layout.stage) not in existing
    ]
    verdict = Verdict(
        is_planned=True,
        reason=Reason.LAYOUT_PLANNED,
        message=planned.conclusion,
        layout=layout_name(planned),
        conclusion=planned.conclusion,
        verification=planned.verification,
        num_stages=deployment.spec.replicas * planned.degrees.pipeline,
    )
    return DeploymentDecision(
        verdict=verdict,
        new_stages=tuple(missing),
        deletes=tuple(stage for stage in snapshot.stages if stage.spec.replica >= deployment.spec.replicas),
        **_upkeep(snapshot, deployment, images, planned),
    )


def _plan(snapshot: DeploymentSnapshot, deployment: MoEDeployment) -> Plan | Verdict:
    """The plan, or why there is none that may be put into effect."""
    accepted = accepted_spec(snapshot.stages[0]) if snapshot.stages else None
    if accepted is not None:
        refused = refused_change(accepted, deployment.spec)
        if refused:
            return _refusal(Reason.SPEC_CHANGE_REFUSED, refused)
    try:
        planned = _plan_on(snapshot, deployment.spec)
    except PlanError as error:
        return _refusal(Reason.PLAN_REFUSED, f"spec.{error}")
    if planned.unsupported:
        return _refusal(Reason.NOT_SUPPORTED, _unsupported(planned))
    if accepted is not None and not _keeps_layouts(planned, snapshot.stages, deployment.spec.replicas):
        return _refusal(Reason.SPEC_CHANGE_REFUSED, refused_layout(accepted, deployment.spec))
    return planned


def _plan_on(snapshot: DeploymentSnapshot, spec: MoEDeploymentSpec) -> Plan:
    """The plan for the nodes there are. What runs keeps its degrees where these are left to the planner."""
    inputs = inputs_on(snapshot.nodes, spec)
    planned = inputs.plan()
    if not snapshot.stages:
        return planned
    running, chosen = snapshot.stages[0].spec, planned.degrees
    if (chosen.expert, chosen.pipeline) == (running.ranks_per_stage, running.stages):
        return planned
    try:
        return inputs.with_degrees(expert=running.ranks_per_stage, pipeline=running.stages).plan()
    except PlanError as error:
        kept = f"what runs keeps its {running.stages} stages of {running.ranks_per_stage} ranks, and {error.rule}"
        raise PlanError(error.field, error.value, kept, REMEDY) from error


def _unsupported(planned: Plan) -> str:
    """What the plan needs and the workers cannot run, each with value, rule and remedy."""
    return "; ".join(f"spec.{one.field} = {one.value}: {one.rule}; {one.remedy}" for one in planned.unsupported)


def _keeps_layouts(planned: Plan, stages: Iterable[MoEStage], replicas: int) -> bool:
    """Whether every stage that stays has its layout in the new plan too."""
    for stage in stages:
        replica, number = stage.spec.replica, stage.spec.stage
        if replica >= replicas:
            continue
        layouts = planned.layouts[replica].stages
        if number >= len(layouts) or not is_same_layout(layouts[number], home_layout(stage)):
            return False
        if stage.spec.stages != len(layouts):
            return False
    return True


def _running_deployment(snapshot: DeploymentSnapshot, wanted: MoEDeployment) -> MoEDeployment | None:
    """What keeps running while the wanted spec is refused: the accepted one, with the fields that are always free."""
    if not snapshot.stages:
        return None
    free = {"failover": wanted.spec.failover, "gateway": wanted.spec.gateway}
    return wanted.model_copy(update={"spec": accepted_spec(snapshot.stages[0]).model_copy(update=free)})


def _upkeep(
    snapshot: DeploymentSnapshot, deployment: MoEDeployment, images: Images, planned: Plan | None = None
) -> dict[str, Any]:
    """The objects beside new and old stages, as far as they are not as they should be."""
    desired = [*access_objects(deployment), *gateway_objects(deployment, images)]
    budgets = [disruption_budget(stage) for stage in snapshot.stages if not stage.metadata.is_deleting]
    secret = (names.secret_name(deployment.metadata.name),)
    return {
        "needs_secret": snapshot.owned[("Secret", *secret)] is None,
        "applies": (
            *(body for body in desired if _differs(body, snapshot.owned[_identity(body)])),
            *(body for body in budgets if _differs(body, snapshot.budgets.get(body["metadata"]["name"]))),
        ),
        "commits": stage_writes(snapshot, deployment.spec, planned),
    }


def _identity(body: Json) -> tuple[str, str]:
    return body["kind"], body["metadata"]["name"]


def _differs(desired: Any, observed: Any) -> bool:
    """Whether anything that is desired is otherwise; what others added is theirs."""
    if isinstance(desired, dict):
        return not isinstance(observed, dict) or any(_differs(desired[key], observed.get(key)) for key in desired)
    if isinstance(desired, list):
        if not isinstance(observed, list) or len(desired) != len(observed):
            return True
        return any(_differs(one, other) for one, other in zip(desired, observed, strict=True))
    return bool(desired != observed)


def _owner_conflict(snapshot: DeploymentSnapshot) -> str:
    """An object that is in the way and belongs to somebody else, in words."""
    metadata = snapshot.raw["metadata"]
    for kind, name, observed, owner in _with_owners(snapshot):
        if observed is None or is_owned_by(observed, owner["uid"]):
            continue
        if _is_leftover(observed, owner["name"]):
            raise errors.Conflict(f"{kind} {name} belongs to a deleted object of its owner's name and is going")
        return (
            f"{kind} {metadata['namespace']}/{name} exists and does not belong to this MoEDeployment; it is not"
            " touched; delete or rename it, or rename the MoEDeployment"
        )
    return ""


def _with_owners(snapshot: DeploymentSnapshot) -> Iterable[tuple[str, str, Json | None, Json]]:
    """Kind and name of every object that is ours or in our way, the object, and the metadata of who should own it."""
    for (kind, name), observed in snapshot.owned.items():
        yield kind, name, observed, snapshot.raw["metadata"]
    for stage in snapshot.stages:
        name = stage.metadata.name
        yield BUDGETS.kind, name, snapshot.budgets.get(name), {"name": name, "uid": stage.metadata.uid}


def _is_leftover(observed: Json, name: str) -> bool:
    references = observed["metadata"].get("ownerReferences", [])
    kinds = (names.DEPLOYMENT_KIND, names.STAGE_KIND)
    return any(r["kind"] in kinds and r["name"] == name and r.get("controller") for r in references)


def _refusal(reason: Reason, message: str) -> Verdict:
    return Verdict(is_planned=False, reason=reason, message=message)
