"""`--grow-from`: what a plan loads where when it grows out of the one that runs. Words and values."""

from typing import Any

from moe_kubectl.planned import Planned
from moe_planner.amounts import count, gib
from moe_planner.growth import ExpertLoad, Gpu, Growth, LayerLoad, growth_between
from moe_planner.layout import Layout
from moe_planner.tables import table

_ROWS_SHOWN = 40


def growth_of(planned: Planned, current: Layout) -> Growth:
    """Every load that leads from the running layout to the plan's."""
    return growth_between(planned.inputs.shape, current, planned.plan.layouts, planned.inputs.hardware)


def growth_text(growth: Growth) -> str:
    """How much is loaded, and a row for each expert and each layer on a GPU; of many the first."""
    rows = [
        *((f"{one.layer}", f"{_number(growth, one)}", _gpu(one.from_gpu), *_to(one)) for one in growth.experts),
        *((f"{one.layer}", "attention", "", *_to(one)) for one in growth.layers),
    ]
    summary = (
        f"from the layout that runs: {count(len(growth.experts), 'expert')} and {count(len(growth.layers), 'layer')} "
        f"on a GPU to load, {gib(growth.num_bytes)}; all else stays where it is"
    )
    if not rows:
        return summary + "\n"
    left_out = len(rows) - _ROWS_SHOWN
    more = f"\n... and {left_out} more (-o json shows all)" if left_out > 0 else ""
    head = ("LAYER", "EXPERT", "HAS IT SO FAR", "LOADS IT", "RANK", "BYTES")
    return f"{summary}\n\n{table(head, rows[:_ROWS_SHOWN])}{more}\n"


def growth_values(growth: Growth) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "bytes": growth.num_bytes,
        "experts": [
            {
                "layer": one.layer,
                "expert": _number(growth, one),
                "from": None if one.from_gpu is None else {"node": one.from_gpu[0], "gpu": one.from_gpu[1]},
                "to": {"rank": one.rank, "node": one.to_gpu[0], "gpu": one.to_gpu[1]},
                "bytes": one.num_bytes,
            }
            for one in growth.experts
        ],
        "layers": [
            {
                "layer": one.layer,
                "to": {"rank": one.rank, "node": one.to_gpu[0], "gpu": one.to_gpu[1]},
                "bytes": one.num_bytes,
            }
            for one in growth.layers
        ],
    }


def _number(growth: Growth, load: ExpertLoad) -> int:
    """The expert's number in the whole model."""
    return load.layer * growth.layouts[0].experts_per_layer + load.expert


def _gpu(gpu: Gpu | None) -> str:
    return "nobody" if gpu is None else f"{gpu[0]} GPU {gpu[1]}"


def _to(one: ExpertLoad | LayerLoad) -> tuple[str, str, str]:
    return _gpu(one.to_gpu), f"{one.rank}", gib(one.num_bytes)
