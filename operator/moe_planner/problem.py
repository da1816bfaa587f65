"""All that a plan is made for, in one value, with what follows from it alone. Knows no candidate."""

from dataclasses import dataclass
from functools import cached_property

from moe_planner.calibration import Calibration
from moe_planner.flops import decode_flops, prefill_flops
from moe_planner.inputs import Constraints, Hardware, Loads, Targets, Workload
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
    def copies(self) -> int:
        """Copies of every expert: what was asked for, and two at least where a loss is to be survived."""
        return max(self.constraints.copies, 1 if self.constraints.survive == "nothing" else 2)

    @cached_property
    def prefill_flops(self) -> float:
        """Of a token of the longest prompt, as the mean over it."""
        return prefill_flops(self.shape, self.workload.max_sequence_length)

    @cached_property
    def decode_flops(self) -> float:
        """Of the last token of the longest sequence."""
        return decode_flops(self.shape, self.workload.max_sequence_length)

    @property
    def hottest(self) -> float:
        """The largest share of tokens that any expert gets."""
        return self.shape.experts_per_token / self.shape.experts

    def activated_share(self, tokens: float) -> float:
        """Share of a layer's experts that a step of so many tokens wakes."""
        return 1 - (1 - self.shape.experts_per_token / self.shape.experts) ** tokens
