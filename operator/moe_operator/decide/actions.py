"""The words in which a decision is given to `act`. Frozen values; who carries them out and how is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moe_api.deployment import DrillStatus
from moe_api.names import Reason
from moe_api.stage import MoEStage, MoEStageSpec
from moe_operator.api import Json
from moe_planner.moves import LaneMove, Move
from moe_planner.result import Check


@dataclass(frozen=True, kw_only=True)
class CreatePod:
    """A pod of a node rank; `avoid` are nodes with a quarantined GPU. `is_holding`: as in MarkPod."""

    node_rank: int
    attempt: int
    avoid: tuple[str, ...] = ()
    is_holding: bool = True


@dataclass(frozen=True, kw_only=True)
class MarkPod:
    """Whether the pod holds experts or lanes: then its stage's PodDisruptionBudget lets nobody evict it."""

    name: str
    uid: str
    is_holding: bool


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """With `force` when its node can never confirm the end."""

    name: str
    uid: str
    force: bool = False


EVENT_MESSAGE_LIMIT = 1024
"""Characters that the API server takes."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something worth a line in `kubectl describe`."""

    reason: Reason
    message: str
    is_warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Relocation:
    """What one commit moved because of one rank: it was lost, it is left, it is back (reason ExpertReturned) or it has
    another copy (CopyAdded).

    `is_planned` where the hosts before served until the new ones had loaded; `since` is when a loss was reported, ""
    where nobody said.
    """

    rank: int
    reason: Reason
    message: str
    node: str | None
    gpu: int | None
    since: str = ""
    is_planned: bool = False
    moves: tuple[Move, ...] = ()
    lane_moves: tuple[LaneMove, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageDecision:
    """What to do about one stage; empty when it is as it should be. `commit` is the whole next spec.

    `notes` are annotations of the stage to write, in one write with the commit.
    `look_again` is when time alone may change the decision: a wait that ends then.
    """

    commit: MoEStageSpec | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    creates: tuple[CreatePod, ...] = ()
    deletes: tuple[DeletePod, ...] = ()
    marks: tuple[MarkPod, ...] = ()
    relocations: tuple[Relocation, ...] = ()
    events: tuple[Event, ...] = ()
    look_again: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self.commit is None and not self.notes and not (self.creates or self.deletes or self.marks)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of the spec: the condition Planned, and the plan's words and checks where there is one.

    `num_stages` is how many stages the plan has over all replicas.
    """

    is_planned: bool
    reason: Reason
    message: str
    layout: str = ""
    conclusion: str = ""
    verification: tuple[Check, ...] = ()
    num_stages: int = 0


@dataclass(frozen=True, kw_only=True)
class DeploymentDecision:
    """What to do about one MoEDeployment besides its status.

    `applies` are objects to server-side apply, `new_stages` to create, `commits` (stage, next spec) to write,
    `deletes` stages to delete; `drills` is the record of drills for the status.
    """

    verdict: Verdict
    needs_secret: bool = False
    applies: tuple[Json, ...] = ()
    new_stages: tuple[Json, ...] = ()
    commits: tuple[tuple[MoEStage, MoEStageSpec], ...] = ()
    deletes: tuple[MoEStage, ...] = ()
    events: tuple[Event, ...] = ()
    drills: tuple[DrillStatus, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.needs_secret or self.applies or self.new_stages or self.commits or self.deletes)
