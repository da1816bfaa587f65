"""One pass over one object: observe, decide, act, then tell (status and events)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from moe_api import names
from moe_api.deployment import MoEDeploymentStatus
from moe_api.stage import MoEStage
from moe_operator import resources
from moe_operator.act import act_on_deployment, act_on_stage, write_status
from moe_operator.api import Api, Json
from moe_operator.clock import Clock
from moe_operator.decide.actions import Event, StageDecision
from moe_operator.decide.deployment import decide_deployment
from moe_operator.decide.drill import rehearse
from moe_operator.decide.placement import follow_loads
from moe_operator.decide.stage import decide_stage
from moe_operator.desire.settings import Images
from moe_operator.events import Herald, condition_events, controller_reference, reference
from moe_operator.metrics import Metrics
from moe_operator.observe import observe_deployment, observe_stage
from moe_operator.queue import Key
from moe_operator.snapshot import StageSnapshot
from moe_operator.status.deployment import describe_deployment
from moe_operator.status.restarts import restart_events
from moe_operator.status.stage import describe_stage


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Holds no state between passes but what it has counted: everything is read anew."""

    api: Api
    clock: Clock
    images: Images
    herald: Herald
    metrics: Metrics = field(default_factory=Metrics)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one object closer to what it should be. Raises ApiError; the queue tries again.

        Returns after how many seconds time alone may change what is to be done, None when never.
        """
        if key.kind == names.STAGE_KIND:
            return await self._reconcile_stage(key)
        await self._reconcile_deployment(key)
        return None

    async def all_keys(self) -> list[Key]:
        """Every object there is: what the tick looks at, whatever events were lost."""
        found = []
        for resource in (resources.DEPLOYMENTS, resources.STAGES):
            for raw in await self.api.list_objects(resource, None, {}):
                metadata = raw["metadata"]
                found.append(Key(kind=resource.kind, namespace=metadata["namespace"], name=metadata["name"]))
        return found

    async def _reconcile_stage(self, key: Key) -> float | None:
        seen = self.clock.now()
        snapshot = await observe_stage(self.api, key.namespace, key.name)
        if snapshot is None:
            return None
        decision = follow_loads(decide_stage(snapshot, self.clock.now()), snapshot, self.clock.now())
        raw = await act_on_stage(self.api, snapshot, decision, self.images)
        after = replace(snapshot, raw=raw, stage=MoEStage.load(raw))
        await self._tell_of_stage(after, decision, seen)
        return self._seconds_until(decision.look_again)

    def _seconds_until(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(0.0, (moment - self.clock.now()).total_seconds())

    async def _tell_of_stage(self, snapshot: StageSnapshot, decision: StageDecision, seen: datetime) -> None:
        status = describe_stage(snapshot, decision.relocations, seen=seen, now=self.clock.now())
        owner = controller_reference(snapshot.raw)
        occasion = str(snapshot.stage.metadata.generation)
        events = (*decision.events, *restart_events(snapshot.stage.status.ranks, status.ranks))
        await asyncio.gather(
            write_status(self.api, resources.STAGES, snapshot.raw, status.dump()),
            *(self._post(about, events, occasion) for about in (reference(snapshot.raw), owner)),
        )
        self.metrics.moved(snapshot.stage.status.moves, status.moves)

    async def _reconcile_deployment(self, key: Key) -> None:
        snapshot = await observe_deployment(self.api, key.namespace, key.name)
        if snapshot is None:
            return
        decision = rehearse(decide_deployment(snapshot, self.images), snapshot, self.clock.now())
        await act_on_deployment(self.api, snapshot, decision)
        before = MoEDeploymentStatus.load(snapshot.raw.get("status") or {})
        status = describe_deployment(snapshot, decision.verdict, self.clock.now(), decision.drills)
        await write_status(self.api, resources.DEPLOYMENTS, snapshot.raw, status.dump())
        self.metrics.drilled(before.drills, status.drills)
        events = (*decision.events, *condition_events(before.conditions, status.conditions))
        await self._post(reference(snapshot.raw), events, snapshot.raw["metadata"]["resourceVersion"])

    async def _post(self, about: Json | None, events: Iterable[Event], occasion: str) -> None:
        if about is not None:
            await self.herald.tell(about, events, occasion=occasion)
