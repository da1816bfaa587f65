"""A MoEDeployment as the planner's values, and its plan: here operator and command agree on what is deployed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from typing import Any

from moe_api.deployment import Degree, MoEDeployment, MoEDeploymentSpec, TargetsSpec
from moe_api.engine import EngineSpec
from moe_api.hardware import HardwareSpec, LinkSpec
from moe_api.model import BYTES_PER_NUMBER, Dtype, ModelSpec
from moe_api.quantity import parse_bytes, parse_rate, parse_seconds
from moe_api.shape import read_shape_spec
from moe_api.support import beyond_the_workers
from moe_planner.calibration import Calibration
from moe_planner.errors import PlanError
from moe_planner.inputs import Constraints, Gpu, Hardware, Link, Loads, NodePlace, Targets, Workload
from moe_planner.layout import Layout
from moe_planner.loads import Rates, expert_rates
from moe_planner.model import ModelShape
from moe_planner.plan import plan
from moe_planner.profiles import Profile
from moe_planner.profiles import hardware as profile
from moe_planner.result import Plan
from moe_planner.topology import racks_of


@dataclass(frozen=True, kw_only=True)
class PlannerInputs:
    """The arguments of `moe_planner.plan.plan`."""

    shape: ModelShape
    hardware: Hardware
    workload: Workload
    constraints: Constraints = field(default_factory=Constraints)
    targets: Targets = field(default_factory=Targets)
    loads: Loads = field(default_factory=Loads)

    def plan(self, calibration: Calibration | None = None, current: Layout | None = None) -> Plan:
        """The plan, with what the workers cannot run of it, grown out of `current` where that is given.

        Raises moe_planner.errors.PlanError.
        """
        return _plan(self, calibration or Calibration(), current)

    def with_degrees(self, *, expert: int, pipeline: int) -> "PlannerInputs":
        """The same with these degrees fixed."""
        return replace(self, constraints=replace(self.constraints, expert=expert, pipeline=pipeline))

    @property
    def rates(self) -> Rates:
        """How likely a token chooses each expert, as far as that was declared."""
        return expert_rates(self.shape, self.loads)

    @property
    def racks(self) -> dict[str, str]:
        """Node -> its zone and rack in one word, "" where nobody said."""
        return racks_of(self.hardware)

    @property
    def sequences(self) -> int:
        """Sequences of one replica: the tokens of its decode step."""
        return ceil(self.workload.batch_size / self.constraints.replicas)


@lru_cache(maxsize=16)
def _plan(inputs: PlannerInputs, calibration: Calibration, current: Layout | None) -> Plan:
    """Remembered, since the operator asks at every look at a deployment, and a large plan takes seconds."""
    planned = plan(
        inputs.shape,
        inputs.hardware,
        inputs.workload,
        inputs.constraints,
        targets=inputs.targets,
        loads=inputs.loads,
        calibration=calibration,
        current=current,
    )
    beyond = beyond_the_workers(inputs.shape)
    return replace(planned, unsupported=(*planned.unsupported, *beyond)) if beyond else planned


def plan_deployment(
    deployment: MoEDeployment, nodes: Sequence[str] | None = None, places: Sequence[NodePlace] = ()
) -> Plan:
    """The plan of a MoEDeployment. Raises moe_planner.errors.PlanError."""
    return planner_inputs(deployment.spec, nodes, places).plan()


def planner_inputs(
    spec: MoEDeploymentSpec, nodes: Sequence[str] | None = None, places: Sequence[NodePlace] = ()
) -> PlannerInputs:
    """What the planner needs. Raises moe_planner.errors.PlanError for an unknown profile.

    `nodes` are real node names in the order to fill them, `places` where each stands; without, they are counted.
    """
    return PlannerInputs(
        shape=model_shape(spec.model, spec.engine),
        hardware=_hardware(spec.hardware, spec.model.dtype, nodes, places),
        workload=_workload(spec),
        constraints=_constraints(spec),
        targets=_targets(spec.targets),
        loads=_loads(spec),
    )


def model_shape(model: ModelSpec, engine: EngineSpec) -> ModelShape:
    return read_shape_spec(
        model.shape, bytes_per_number=BYTES_PER_NUMBER[model.dtype], max_positions=engine.max_sequence_length
    )


def _hardware(spec: HardwareSpec, dtype: Dtype, nodes: Sequence[str] | None, places: Sequence[NodePlace]) -> Hardware:
    """The declared figures, and for those left out the profile's."""
    named = profile(spec.profile) if spec.profile else None
    shares = {"flops_efficiency": spec.flops_efficiency, "bandwidth_efficiency": spec.bandwidth_efficiency}
    return Hardware(
        nodes=spec.nodes if nodes is None else tuple(nodes)[: spec.nodes],
        gpus_per_node=spec.gpus_per_node,
        gpu_memory_bytes=_memory(spec, named),
        gpu=_gpu(spec, dtype, named),
        inside=_link(spec.inside_node) or (named.inside if named else None),
        between=_link(spec.between_nodes) or (named.between if named else None),
        places=tuple(places)[: spec.nodes],
        bad_gpus=_bad_gpus(spec, nodes),
        **{name: share for name, share in shares.items() if share is not None},
    )


def _bad_gpus(spec: HardwareSpec, nodes: Sequence[str] | None) -> frozenset[tuple[str, int]]:
    """Those on the nodes that are planned for; a bad GPU of another node is in nobody's way."""
    bad = ((one.node, one.gpu) for one in spec.bad_gpus or ())
    planned = None if nodes is None else frozenset(nodes[: spec.nodes])
    return frozenset((node, gpu) for node, gpu in bad if planned is None or node in planned)


def _memory(spec: HardwareSpec, named: Profile | None) -> int:
    if spec.gpu_memory is not None:
        return parse_bytes(spec.gpu_memory)
    if named is None:
        rule = "the memory of a GPU must be known"
        raise PlanError("hardware.gpuMemory", "nothing", rule, "write e.g. 80G, or hardware.profile, which knows it")
    return named.memory_bytes


def _gpu(spec: HardwareSpec, dtype: Dtype, named: Profile | None) -> Gpu | None:
    """None where compute or memory bandwidth stay unknown."""
    flops = named.gpu.flops if named else ()
    bandwidth = named.gpu.memory_bandwidth if named else None
    if spec.flops is not None:
        flops = ((dtype, parse_rate(spec.flops)), *(pair for pair in flops if pair[0] != dtype))
    if spec.memory_bandwidth is not None:
        bandwidth = parse_rate(spec.memory_bandwidth)
    if not flops or bandwidth is None:
        return None
    return Gpu(name=named.name if named else "declared", flops=flops, memory_bandwidth=bandwidth)


def _link(spec: LinkSpec | None) -> Link | None:
    return None if spec is None else Link(bandwidth=parse_rate(spec.bandwidth), latency=parse_seconds(spec.latency))


def _workload(spec: MoEDeploymentSpec) -> Workload:
    engine = spec.engine
    return Workload(
        batch_size=spec.workload.batch_size,
        min_sequence_length=spec.workload.min_sequence_length,
        max_sequence_length=spec.workload.max_sequence_length or engine.max_sequence_length,
        kv_tokens_per_lane=engine.block_size * engine.blocks_per_lane,
        lanes_per_rank=engine.lanes_per_rank,
        step_tokens=engine.max_step_tokens,
        steps_in_flight=engine.max_steps_in_flight,
        requests_per_second=spec.workload.requests_per_second,
    )


def _constraints(spec: MoEDeploymentSpec) -> Constraints:
    return Constraints(
        expert=_fixed(spec.parallelism.expert),
        pipeline=_fixed(spec.parallelism.pipeline),
        tensor=_fixed(spec.parallelism.tensor),
        sequence=_fixed(spec.parallelism.sequence),
        data=_fixed(spec.parallelism.data),
        replicas=max(1, spec.replicas),
        copies=spec.experts.copies,
        copies_of=tuple((one.expert, one.copies) for one in spec.experts.copies_of or ()),
        spare_copies=spec.experts.spare_copies,
        survive=spec.experts.survive,
        objective=spec.parallelism.objective,
    )


def _targets(spec: TargetsSpec) -> Targets:
    values: dict[str, Any] = {name: getattr(spec, name) for name in TargetsSpec.model_fields}
    for name in ("time_to_first_token", "time_per_output_token"):
        values[name] = None if values[name] is None else parse_seconds(values[name])
    return Targets(**values)


def _loads(spec: MoEDeploymentSpec) -> Loads:
    load = spec.workload.expert_load
    return Loads(kind=load.kind, zipf_exponent=load.exponent)


def _fixed(degree: Degree) -> int | None:
    return None if degree == "auto" else degree
