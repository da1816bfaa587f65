"""What must hold of the hardware alone: sane figures, each node named once, and GPUs that are left to use."""

from moe_planner.checks import check_is, check_items, check_real, check_whole
from moe_planner.errors import PlanError
from moe_planner.inputs import Gpu, Hardware, Link, NodePlace
from moe_planner.limits import MOST_BYTES, MOST_GPUS, MOST_RATE, MOST_SECONDS, shown


def check_hardware(hardware: Hardware) -> None:
    """Raises PlanError for the first rule that is broken, by the field of spec.hardware."""
    _check_nodes(hardware)
    check_whole("hardware.gpuMemory", hardware.gpu_memory_bytes, most=MOST_BYTES)
    if hardware.gpu is not None:
        _check_gpu(hardware.gpu)
    _check_link("hardware.insideNode", hardware.inside)
    _check_link("hardware.betweenNodes", hardware.between)
    check_real("hardware.flopsEfficiency", hardware.flops_efficiency, most=1)
    check_real("hardware.bandwidthEfficiency", hardware.bandwidth_efficiency, most=1)
    _check_places(hardware)
    _check_bad_gpus(hardware)


def _check_nodes(hardware: Hardware) -> None:
    nodes = hardware.nodes
    if isinstance(nodes, tuple):
        for name in nodes:
            if not isinstance(name, str) or not name:
                raise PlanError("hardware.nodes", shown(name), "must be the name of a node", "write each node's name")
        if len(set(nodes)) < len(nodes):
            raise PlanError("hardware.nodes", shown(nodes), "names a node twice", "name each node once")
        check_whole("hardware.nodes", len(nodes), most=MOST_GPUS)
    else:
        check_whole("hardware.nodes", nodes, most=MOST_GPUS)
    check_whole("hardware.gpusPerNode", hardware.gpus_per_node, most=MOST_GPUS)
    if hardware.num_gpus > MOST_GPUS:
        rule = f"{hardware.num_nodes} nodes x {hardware.gpus_per_node} GPUs are more than {MOST_GPUS} GPUs"
        raise PlanError("hardware.nodes", hardware.num_nodes, rule, "write the true number")


def _check_gpu(gpu: Gpu) -> None:
    check_is("hardware.gpu", gpu, Gpu)
    check_is("hardware.gpu.name", gpu.name, str)
    check_items("hardware.flops", gpu.flops)
    for pair in gpu.flops:
        if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise PlanError("hardware.flops", shown(pair), "must be a dtype and its FLOP/s", "write both")
        check_real("hardware.flops", pair[1], least=1, most=MOST_RATE, can_be_least=True)
    check_real("hardware.memoryBandwidth", gpu.memory_bandwidth, least=1, most=MOST_RATE, can_be_least=True)


def _check_link(field: str, link: Link | None) -> None:
    if link is not None:
        check_is(field, link, Link)
        check_real(f"{field}.bandwidth", link.bandwidth, least=1, most=MOST_RATE, can_be_least=True)
        check_real(f"{field}.latency", link.latency, most=MOST_SECONDS, can_be_least=True)


def _check_places(hardware: Hardware) -> None:
    check_items("hardware.places", hardware.places)
    if len(hardware.places) not in (0, hardware.num_nodes):
        rule = f"must be one place for each of the {hardware.num_nodes} nodes, or none"
        raise PlanError("hardware.places", f"{len(hardware.places)} places", rule, "give every node's rack and zone")
    for place in hardware.places:
        if not isinstance(place, NodePlace) or not isinstance(place.rack, str) or not isinstance(place.zone, str):
            raise PlanError("hardware.places", shown(place), "must be the names of a rack and a zone", "write both")


def _check_bad_gpus(hardware: Hardware) -> None:
    if not isinstance(hardware.bad_gpus, frozenset):
        raise PlanError("hardware.badGpus", shown(hardware.bad_gpus), "must be a set of GPUs", "name nodes and indices")
    names = frozenset(hardware.node_names) if hardware.bad_gpus else frozenset()
    for bad in sorted(hardware.bad_gpus, key=repr):
        if not isinstance(bad, tuple) or len(bad) != 2 or bad[0] not in names:
            rule = f"must be a GPU of one of the {hardware.num_nodes} nodes"
            raise PlanError("hardware.badGpus", shown(bad), rule, "name a node as in hardware.nodes, e.g. node-0")
        check_whole("hardware.badGpus", bad[1], least=0, most=hardware.gpus_per_node - 1)
    if len(hardware.bad_gpus) == hardware.num_gpus:
        rule = f"leaves none of the {hardware.num_gpus} GPUs"
        raise PlanError("hardware.badGpus", f"{len(hardware.bad_gpus)} GPUs", rule, "replace some, or add nodes")
