"""What the flags of `plan` change of the object or file that is planned, or make where there is none. Pure.

They edit what was read, before it is checked, so that one set of rules and messages judges both.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moe_api.deployment import Objective
from moe_kubectl.declared import declared_model
from moe_kubectl.errors import CommandError
from moe_kubectl.files import Source

FIXABLE = {"ep": "expert", "pp": "pipeline", "tp": "tensor", "sp": "sequence", "dp": "data"}
OBJECTIVES: tuple[Objective, ...] = ("balance", "cheapest", "fastest")
_DECLARED = ("gpuMemory", "flops", "memoryBandwidth", "insideNode", "betweenNodes")


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """The flags, None where they are not given. `config` is a model's config.json."""

    config: Mapping[str, Any] | None = None
    model: str = ""
    gpus: int | None = None
    nodes: int | None = None
    gpus_per_node: int | None = None
    hardware: str | None = None
    fix: tuple[tuple[str, int], ...] = ()
    objective: Objective | None = None


def parse_fixes(written: list[str]) -> tuple[tuple[str, int], ...]:
    """`ep=16`, `copies=2` and the like; the last of a name counts."""
    fixes: dict[str, int] = {}
    for text in written:
        name, _, number = (part.strip() for part in text.partition("="))
        if name not in (*FIXABLE, "copies") or not number.isascii() or not number.isdecimal() or len(number) > 9:
            names = ", ".join((*FIXABLE, "copies"))
            raise CommandError(
                f"--fix {text}: is no degree that can be fixed; write one of {names} and a number: ep=16"
            )
        fixes[name] = int(number)
    return tuple(fixes.items())


def sized(what_if: WhatIf, per_node: int) -> tuple[int | None, int | None]:
    """Nodes and GPUs per node that --gpus, --nodes and --gpus-per-node come to; `per_node` where nobody says."""
    each = what_if.gpus_per_node
    if what_if.gpus is None:
        return what_if.nodes, each
    if what_if.nodes is not None:
        each = each or -(-what_if.gpus // what_if.nodes)
    each = each or min(per_node, what_if.gpus)
    nodes = what_if.nodes or -(-what_if.gpus // each)
    if nodes * each != what_if.gpus:
        raise CommandError(
            f"--gpus {what_if.gpus}: {nodes} nodes of {each} GPUs are {nodes * each}; "
            f"give a multiple of {each}, or --gpus-per-node"
        )
    return nodes, each


def applied(source: Source | None, what_if: WhatIf) -> Source:
    """The source with the flags put in; without a source, a planning file that says what the flags say."""
    if source is None:
        return _from_flags(what_if)
    if what_if == WhatIf():
        return source
    values = copy.deepcopy(source.values)
    edit = _edit_deployment if source.kind == "deployment" else _edit_planning
    edit(values, what_if)
    return Source(name=source.name, kind=source.kind, values=values)


def _from_flags(what_if: WhatIf) -> Source:
    if what_if.config is None:
        raise CommandError("there is nothing to plan; give -f FILE, or --model DIR with --hardware NAME and --nodes N")
    if what_if.nodes is None and what_if.gpus is None:
        raise CommandError("how many GPUs there are is not said; give --nodes N or --gpus N")
    if what_if.hardware is None:
        raise CommandError("which GPUs there are is not said; give --hardware NAME, e.g. --hardware h100-sxm")
    values: dict[str, Any] = {"parallel_strategy": {"ep": "auto"}, "workload": {"lanes_per_rank": 2}}
    _edit_planning(values, what_if)
    return Source(name=what_if.model, kind="planning", values=values, is_file=False)


def _edit_planning(values: dict[str, Any], what_if: WhatIf) -> None:
    if what_if.config is not None:
        values["model"] = {"config": what_if.config}
    hardware = _part(values, "hardware")
    if what_if.hardware is not None:
        hardware["profile"] = what_if.hardware
        for key in ("gpu_memory", "flops", "memory_bandwidth", "inside_node", "between_nodes"):
            hardware.pop(key, None)
    block = _part(values, "gpu_configuration")
    per_node = hardware.get("gpus_per_node") or block.get("gpus_per_node") or 8
    nodes, each = sized(what_if, per_node if isinstance(per_node, int) and per_node > 0 else 8)
    if nodes is not None or each is not None:
        block.pop("total_gpus", None)
        _set(block, "nodes_required", nodes)
        _set(block, "gpus_per_node", each)
        _set(hardware, "nodes", nodes)
        _set(hardware, "gpus_per_node", each)
    for name, degree in what_if.fix:
        if name != "copies":
            _part(values, "parallel_strategy")[name] = degree
    if not hardware:
        del values["hardware"]


def _edit_deployment(values: dict[str, Any], what_if: WhatIf) -> None:
    spec = _part(values, "spec")
    hardware = _part(spec, "hardware")
    per_node = hardware.get("gpusPerNode")
    nodes, each = sized(what_if, per_node if isinstance(per_node, int) and per_node > 0 else 8)
    _set(hardware, "nodes", nodes)
    _set(hardware, "gpusPerNode", each)
    if what_if.hardware is not None:
        hardware["profile"] = what_if.hardware
        for key in _DECLARED:
            hardware.pop(key, None)
    if what_if.config is not None:
        _part(spec, "model").update(declared_model(what_if.config))
    for name, degree in what_if.fix:
        if name == "copies":
            _part(spec, "experts")["copies"] = degree
        else:
            _part(spec, "parallelism")[FIXABLE[name]] = degree
        if name == "dp":
            spec["replicas"] = degree
    if what_if.objective is not None:
        _part(spec, "parallelism")["objective"] = what_if.objective


def _part(values: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under the key, made where it is missing; what is no mapping is left to the check that follows."""
    part = values.get(key)
    if part is None:
        part = values[key] = {}
    return part if isinstance(part, dict) else {}


def _set(part: dict[str, Any], key: str, value: object) -> None:
    if value is not None:
        part[key] = value
