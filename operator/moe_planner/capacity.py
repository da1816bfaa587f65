"""How many pods the nodes take: a pod sits on one node, and never on a bad GPU. Knows counts, not places."""

from bisect import bisect_left
from collections import Counter
from functools import cached_property
from itertools import accumulate

from moe_planner.inputs import Hardware


class Capacity:
    """Of one hardware; what was counted for one size of pods is remembered."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._sums: dict[int, list[int]] = {}

    @cached_property
    def good_gpus(self) -> int:
        """GPUs that something may be placed on."""
        return sum(self._good_by_node) if self._hardware.bad_gpus else self._hardware.num_gpus

    def nodes_for(self, pods: int, size: int) -> int | None:
        """Nodes that so many pods of `size` GPUs take, filled in order; None where there are too few."""
        if not self._hardware.bad_gpus:
            nodes = -(-pods // (self._hardware.gpus_per_node // size))
            return nodes if nodes <= self._hardware.num_nodes else None
        sums = self._room(size)
        if sums[-1] < pods:
            return None
        last = bisect_left(sums, pods)
        return sum(1 for good in self._good_by_node[: last + 1] if good >= size)

    def most_pods(self, size: int) -> int:
        """Pods of `size` GPUs that all nodes together take."""
        if not self._hardware.bad_gpus:
            return self._hardware.num_nodes * (self._hardware.gpus_per_node // size)
        return self._room(size)[-1]

    @cached_property
    def _good_by_node(self) -> list[int]:
        size = self._hardware.gpus_per_node
        bad = Counter(node for node, gpu in self._hardware.bad_gpus if 0 <= gpu < size)
        return [size - bad[node] for node in self._hardware.node_names]

    def _room(self, size: int) -> list[int]:
        if size not in self._sums:
            self._sums[size] = list(accumulate(good // size for good in self._good_by_node))
        return self._sums[size]
