"""Ready hardware by name: what the makers' data sheets say of a GPU, and the links that its usual nodes have.

Peaks are dense (without sparsity) and decimal, link bandwidths are of one direction and GPU. Data sheets give no
latencies and no network: those are assumed, 5 us inside a node, 10 us between nodes, and the adapter that such nodes
are sold with.
"""

from dataclasses import dataclass

from moe_planner.errors import PlanError
from moe_planner.inputs import Gpu, Hardware, Link
from moe_planner.limits import shown

_INSIDE_SECONDS = 5e-6
_BETWEEN_SECONDS = 10e-6


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A kind of node: its GPUs, their memory, and their links to each other and to other nodes."""

    name: str
    memory_bytes: int
    gpu: Gpu
    inside: Link
    between: Link
    gpus_per_node: int

    def hardware(self, nodes: tuple[str, ...] | int, gpus_per_node: int | None = None) -> Hardware:
        """So many nodes of the kind."""
        return Hardware(
            nodes=nodes,
            gpus_per_node=self.gpus_per_node if gpus_per_node is None else gpus_per_node,
            gpu_memory_bytes=self.memory_bytes,
            gpu=self.gpu,
            inside=self.inside,
            between=self.between,
        )


def hardware(name: str) -> Profile:
    """The profile of that name, in capitals or not. Raises PlanError listing the names."""
    wanted = name.strip().lower() if isinstance(name, str) else ""
    found = _PROFILES.get(_OTHER_NAMES.get(wanted, wanted))
    if found is None:
        known = ", ".join(NAMES)
        raise PlanError("hardware.profile", shown(name), f"must be one of {known}", "or declare the GPU's own figures")
    return found


def _profile(
    name: str,
    *,
    flops: dict[str, float],
    memory: float,
    bandwidth: float,
    inside: float,
    between: float,
    inside_seconds: float = _INSIDE_SECONDS,
) -> Profile:
    """TFLOP/s by dtype, GB of memory, TB/s of its bandwidth, GB/s of the links."""
    return Profile(
        name=name,
        memory_bytes=round(memory * 1e9),
        gpu=Gpu(
            name=name,
            flops=tuple((dtype, tera * 1e12) for dtype, tera in flops.items()),
            memory_bandwidth=bandwidth * 1e12,
        ),
        inside=Link(bandwidth=inside * 1e9, latency=inside_seconds),
        between=Link(bandwidth=between * 1e9, latency=_BETWEEN_SECONDS),
        gpus_per_node=8,
    )


def _flops(float16: float, float8: float | None, float32: float) -> dict[str, float]:
    eight = {} if float8 is None else {"float8": float8}
    return {"bfloat16": float16, "float16": float16, **eight, "float32": float32}


_HOPPER = _flops(989.4, 1978.9, 66.9)
_AMPERE = _flops(312, None, 19.5)

_PROFILES = {
    profile.name: profile
    for profile in (
        _profile("h100-sxm", flops=_HOPPER, memory=80, bandwidth=3.35, inside=450, between=50),
        _profile("h100-pcie", flops=_flops(756, 1513, 51), memory=80, bandwidth=2.0, inside=64, between=25),
        _profile("h200", flops=_HOPPER, memory=141, bandwidth=4.8, inside=450, between=50),
        _profile("b200", flops=_flops(2250, 4500, 75), memory=180, bandwidth=8.0, inside=900, between=50),
        _profile("a100-80g", flops=_AMPERE, memory=80, bandwidth=2.039, inside=300, between=25),
        _profile("a100-40g", flops=_AMPERE, memory=40, bandwidth=1.555, inside=300, between=25),
        _profile("mi300x", flops=_flops(1307.4, 2614.9, 163.4), memory=192, bandwidth=5.3, inside=448, between=50),
        _profile("l40s", flops=_flops(362, 733, 91.6), memory=48, bandwidth=0.864, inside=32, between=25),
        # The reference document's own GPU. It names no links: 50 GB/s and 10 us to anywhere are assumed.
        _profile(
            "document",
            flops={"float16": 400},
            memory=64,
            bandwidth=1.8,
            inside=50,
            between=50,
            inside_seconds=_BETWEEN_SECONDS,
        ),
    )
}
_OTHER_NAMES = {"a100": "a100-80g", "h100": "h100-sxm"}

NAMES = tuple(_PROFILES)
"""Of all profiles."""
