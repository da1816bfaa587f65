"""What the hardware reaches: data-sheet peaks times the shares of them that kernels get. Knows no model's sizes."""

import re
from dataclasses import dataclass

from moe_planner.inputs import Gpu, Hardware, Link


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Of one GPU. `peak_flops` is the data sheet's; `flops` (FLOP/s) and `memory` (bytes/s) are what is reached."""

    peak_flops: float
    flops: float
    peak_memory: float
    memory: float
    inside: Link
    between: Link


def speeds(hardware: Hardware, bytes_per_number: int) -> Speeds | None:
    """None where the GPU or its links are unknown: no times can be told then. One known link stands for both."""
    gpu, inside, between = hardware.gpu, hardware.inside or hardware.between, hardware.between or hardware.inside
    if gpu is None or inside is None or between is None or not gpu.flops:
        return None
    peak = peak_flops(gpu, 8 * bytes_per_number)
    return Speeds(
        peak_flops=peak,
        flops=peak * hardware.flops_efficiency,
        peak_memory=gpu.memory_bandwidth,
        memory=gpu.memory_bandwidth * hardware.bandwidth_efficiency,
        inside=inside,
        between=between,
    )


def peak_flops(gpu: Gpu, bits: int) -> float:
    """The data sheet's figure for numbers of that many bits, the first where it has several.

    Narrower numbers than it knows are computed as the narrowest it knows; wider ones, it is assumed, at a rate that
    falls with their width.
    """
    known = [(_bits(dtype), flops) for dtype, flops in gpu.flops]
    width, peak = min(known, key=lambda one: (one[0] < bits, abs(one[0] - bits)))
    return peak if width >= bits else peak * width / bits


def _bits(dtype: str) -> int:
    found = re.search(r"\d+", dtype)
    return int(found.group()) if found else 16
