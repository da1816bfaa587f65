"""All that a plan is made for, in one value, with what follows from it alone. Knows no candidate."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from moe_planner.balance import activation
from moe_planner.calibration import Calibration
from moe_planner.capacity import Capacity
from moe_planner.copies import least_copies
from moe_planner.flops import decode_flops, prefill_flops
from moe_planner.inputs import Constraints, Hardware, Loads, Targets, Workload
from moe_planner.loads import Rates, expert_rates
from moe_planner.model import ModelShape
from moe_planner.speeds import Speeds, speeds


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The planner's arguments."""

    shape: ModelShape
    hardware: Hardware
    workload: Workload
    constraints: Constraints
    targets: Targets = Targets()
    loads: Loads = Loads()
    calibration: Calibration = Calibration()

    @cached_property
    def speeds(self) -> Speeds | None:
        """None where no times can be told."""
        return speeds(self.hardware, self.shape.bytes_per_number)

    @cached_property
    def capacity(self) -> Capacity:
        """Room for pods on the nodes."""
        return Capacity(self.hardware)

    @cached_property
    def copies(self) -> int:
        """Copies of every expert: what was asked for, and two at least where a loss is to be survived."""
        return least_copies(self.constraints)

    @cached_property
    def extra_copies(self) -> int:
        """Copies of a stage beyond those, at most."""
        asked = sum(max(0, number - self.copies) for _, number in self.constraints.copies_of)
        return asked + self.constraints.spare_copies

    @cached_property
    def rates(self) -> Rates:
        """How likely a token chooses each expert. Raises PlanError for loads that do not fit the model."""
        return expert_rates(self.shape, self.loads)

    @cached_property
    def prefill_flops(self) -> float:
        """Of a token of the longest prompt, as the mean over it."""
        return prefill_flops(self.shape, self.workload.max_sequence_length)

    @cached_property
    def decode_flops(self) -> float:
        """Of the last token of the longest sequence."""
        return decode_flops(self.shape, self.workload.max_sequence_length)

    @cached_property
    def hottest(self) -> float:
        """The largest share of tokens that any expert gets."""
        return max(self.rates.values(), default=0.0)

    def activated_share(self, tokens: int) -> float:
        """Share of a layer's experts that a step of so many tokens wakes, as the mean over the layers."""
        if tokens not in self._activated_shares:
            shares = [activation(rate, tokens) * number for rate, number in self._distinct_rates.items()]
            self._activated_shares[tokens] = sum(shares) / max(1, len(self.rates))
        return self._activated_shares[tokens]

    @cached_property
    def _distinct_rates(self) -> Counter[float]:
        return Counter(self.rates.values())

    @cached_property
    def _activated_shares(self) -> dict[int, float]:
        return {}
