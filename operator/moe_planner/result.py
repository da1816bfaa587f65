"""What a planning run returns: the layouts, and why they look as they do."""

from dataclasses import dataclass
from typing import Literal

from moe_planner.layout import Layout

Verdict = Literal["holds", "fails", "unreachable"]
Basis = Literal["given", "assumed", "measured", "derived"]


def verdict_of(holds: bool) -> Verdict:
    """Of a line that is either true or not."""
    return "holds" if holds else "fails"


@dataclass(frozen=True, kw_only=True)
class Degrees:
    """Expert ranks per stage, stages, tensor and sequence parallelism, replicas.

    Tensor and sequence ranks together sit in one seat: they share its experts' matrices, its lane's attention heads
    and its lane's tokens.
    """

    expert: int
    pipeline: int
    tensor: int = 1
    sequence: int = 1
    data: int = 1

    @property
    def gpus_per_seat(self) -> int:
        return self.tensor * self.sequence

    @property
    def gpus_per_stage(self) -> int:
        return self.expert * self.gpus_per_seat

    @property
    def num_ranks(self) -> int:
        """GPUs of all replicas."""
        return self.gpus_per_stage * self.pipeline * self.data


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the reasoning, in the mandatory order: the facts used, the choice, and why the others lost."""

    title: str
    facts: tuple[str, ...]
    choice: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the verification table. `formula` has its numbers put in; `bound` names what limits the value.

    `basis` is that of the weakest number in it. `margin` is how far the limit is, as a share of it: negative where the
    line does not hold. `error` is the relative error to expect of a predicted value, None where it is exact.
    """

    name: str
    formula: str
    value: float
    limit: float
    unit: str
    verdict: Verdict
    basis: Basis
    bound: str
    margin: float | None = None
    error: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A legal or illegal choice that lost, with its figures. `role`: "cheapest", "fastest", or "" for just another."""

    degrees: Degrees
    figures: tuple[tuple[str, float], ...]
    rejected_because: str
    copies: int = 1
    role: str = ""


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """Something the plan needs and the workers of this version cannot run."""

    field: str
    value: object
    rule: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Layouts, one per replica, and their reasons. `conclusion` is one line, fit for a condition's message."""

    layouts: tuple[Layout, ...]
    degrees: Degrees
    gpus_per_pod: int
    reasoning: tuple[Step, ...]
    verification: tuple[Check, ...]
    alternatives: tuple[Alternative, ...]
    conclusion: str
    figures: tuple[tuple[str, float], ...] = ()
    unsupported: tuple[Unsupported, ...] = ()

    @property
    def layout(self) -> Layout:
        """The first replica's; the others differ in their nodes only."""
        return self.layouts[0]

    @property
    def pods_per_stage(self) -> int:
        return self.degrees.gpus_per_stage // self.gpus_per_pod
