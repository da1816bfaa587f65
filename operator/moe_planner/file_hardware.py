"""The `hardware` part of a planning file, beside its `gpu_configuration` -> Hardware.

A profile's figures come first, then the file's own. Without either it is the reference document's GPU.
"""

from collections.abc import Mapping
from math import ceil

from moe_planner.fields import Fields
from moe_planner.inputs import Gpu, Hardware, Link, NodePlace
from moe_planner.limits import MOST_GPUS
from moe_planner.profiles import Profile
from moe_planner.profiles import hardware as profile_of
from moe_planner.units import BYTES, BYTES_PER_SECOND, FLOPS, SECONDS, SHARE, Kind, number

_FIGURES = ("gpu_memory", "flops", "memory_bandwidth", "flops_efficiency", "bandwidth_efficiency")
_KEYS = ("profile", "nodes", "gpus_per_node", *_FIGURES, "inside_node", "between_nodes", "places", "bad_gpus")


def read_hardware(part: Fields, block: Fields) -> Hardware:
    """The nodes there are: those of `hardware`, else those that `gpu_configuration` says are required."""
    part.refuse_others(*_KEYS)
    known = _profile(part)
    usual = known.gpus_per_node if known else 8
    per_node = part.number("gpus_per_node", default=block.number("gpus_per_node", default=usual, most=MOST_GPUS))
    nodes = _nodes(part, block, per_node)
    return Hardware(
        nodes=nodes,
        gpus_per_node=per_node,
        gpu_memory_bytes=round(_measure(part, "gpu_memory", BYTES, known.memory_bytes if known else None)),
        gpu=_gpu(part, known),
        inside=_link(part.part("inside_node"), known.inside if known else None),
        between=_link(part.part("between_nodes"), known.between if known else None),
        places=_places(part.part("places"), nodes),
        bad_gpus=frozenset(_bad_gpu(part, each) for each in part.items("bad_gpus", most=MOST_GPUS)),
        flops_efficiency=_measure(part, "flops_efficiency", SHARE, Hardware.flops_efficiency),
        bandwidth_efficiency=_measure(part, "bandwidth_efficiency", SHARE, Hardware.bandwidth_efficiency),
    )


def _profile(part: Fields) -> Profile | None:
    """The document's GPU stands in only where nothing at all is said of the GPUs."""
    if part.has("profile"):
        return profile_of(part.text("profile"))
    return None if any(part.has(key) for key in _FIGURES) else profile_of("document")


def _nodes(part: Fields, block: Fields, per_node: int) -> tuple[str, ...] | int:
    if isinstance(part.value("nodes"), list | tuple):
        names = part.items("nodes", most=MOST_GPUS)
        if not all(isinstance(name, str) for name in names):
            raise part.error("nodes", "must be how many nodes there are, or a list of their names")
        return tuple(name for name in names if isinstance(name, str))
    if part.has("nodes"):
        return part.number("nodes", most=MOST_GPUS)
    if block.has("nodes_required") or not block.has("total_gpus"):
        return block.number("nodes_required", most=MOST_GPUS)
    return ceil(block.number("total_gpus", most=MOST_GPUS) / per_node)


def _gpu(part: Fields, known: Profile | None) -> Gpu | None:
    """None where nothing is said of its speed: then no times can be told."""
    if known is None and not part.has("flops") and not part.has("memory_bandwidth"):
        return None
    bandwidth = known.gpu.memory_bandwidth if known else None
    flops = known.gpu.flops if known and not part.has("flops") else None
    return Gpu(
        name=known.gpu.name if known else "declared",
        flops=flops or (("float16", _measure(part, "flops", FLOPS, None)),),
        memory_bandwidth=_measure(part, "memory_bandwidth", BYTES_PER_SECOND, bandwidth),
    )


def _link(part: Fields, known: Link | None) -> Link | None:
    part.refuse_others("bandwidth", "latency")
    if known is None and not part.has("bandwidth") and not part.has("latency"):
        return None
    return Link(
        bandwidth=_measure(part, "bandwidth", BYTES_PER_SECOND, known.bandwidth if known else None),
        latency=_measure(part, "latency", SECONDS, known.latency if known else None),
    )


def _measure(part: Fields, key: str, kind: Kind, default: float | None) -> float:
    value = part.value(key)
    return default if value is None and default is not None else number(part.at(key), value, kind)


def _places(part: Fields, nodes: tuple[str, ...] | int) -> tuple[NodePlace, ...]:
    """By node; a node that the file does not place is nowhere in particular."""
    names = tuple(f"node-{index}" for index in range(nodes)) if isinstance(nodes, int) else nodes
    if not part.is_empty:
        part.refuse_others(*names)
        return tuple(_place(part.part(name)) for name in names)
    return ()


def _place(part: Fields) -> NodePlace:
    part.refuse_others("rack", "zone")
    return NodePlace(rack=part.text("rack"), zone=part.text("zone"))


def _bad_gpu(part: Fields, each: object) -> tuple[str, int]:
    if not isinstance(each, Mapping):
        raise part.error("bad_gpus", "must be a list of GPUs, each with its node's name and its index there")
    gpu = Fields(each, part.at("bad_gpus"), part.remedy)
    gpu.refuse_others("node", "gpu")
    return gpu.text("node"), gpu.number("gpu", least=0, most=MOST_GPUS)
