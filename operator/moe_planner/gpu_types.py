"""The rule that all nodes of a plan have the same GPUs. Knows what each node says it has, not what a GPU can do."""

from collections import Counter
from collections.abc import Mapping

from moe_planner.errors import PlanError
from moe_planner.limits import shown


def only_gpu_type(types: Mapping[str, str]) -> str:
    """The type of GPU that every node has, by node name; "" where no node says. Raises PlanError for several.

    Experts are spread evenly, so every stage would wait for its slowest GPUs, and the smallest memory would bound all.
    """
    found = Counter(name for name in types.values() if name)
    if len(found) <= 1:
        return next(iter(found), "")
    counts = ", ".join(f"{number} x {name}" for name, number in sorted(found.items()))
    raise PlanError(
        "hardware.nodeSelector",
        shown(counts),
        "the nodes of one plan have one type of GPU, since the slowest and the smallest would bound all the others",
        "select the nodes of one type, and write a MoEDeployment for each",
    )
