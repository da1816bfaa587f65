"""The memory bars of the expert map: what fills the fullest GPU, true to scale and magnified. Draws, counts nothing."""

from moe_planner.amounts import gib
from moe_planner.memory import USABLE_SHARE, Memory
from moe_planner.picture_style import MEMORY
from moe_planner.svg import Svg

_BAR = 18
_LINE = 18
_WORDS = {
    "experts": "experts",
    "takeover": "takeover of a neighbour's",
    "attention": "attention, routers, shared and dense",
    "embeddings": "embeddings",
    "kv_cache": "KV cache",
    "buffers": "buffers",
}


def draw_memory(svg: Svg, memory: Memory, capacity: int, x: float, y: float, width: float) -> float:
    """Two bars and their legend; returns where they end."""
    share = memory.total / capacity
    words = f"Memory of the fullest GPU: {gib(memory.total)} of {gib(capacity)} ({share:.2%})"
    svg.text(x, y + 14, words, style="strong")
    y += 24
    svg.text(x, y + 13, "to scale", style="dim")
    _bar(svg, memory, x + 90, y, width - 90, capacity)
    usable = x + 90 + (width - 90) * USABLE_SHARE
    svg.rect(x + 90, y, width - 90, _BAR, style="frame")
    svg.line(usable, y - 3, usable, y + _BAR + 3, style="limit")
    svg.text(usable - 4, y + 13, f"usable {USABLE_SHARE:.0%}", style="small", anchor="end")
    y += _BAR + 8
    svg.text(x, y + 13, "magnified", style="dim")
    _bar(svg, memory, x + 90, y, width - 90, memory.total)
    return _legend(svg, memory, x + 90, y + _BAR + 8)


def draw_stage_memory(svg: Svg, memory: Memory, most: int, x: float, y: float, width: float, height: float) -> None:
    """One stage's bar beside its row, in proportion to the fullest stage's."""
    _bar(svg, memory, x, y, width, most, height)


def _bar(svg: Svg, memory: Memory, x: float, y: float, width: float, whole: int, height: float = _BAR) -> None:
    for name, colour in MEMORY.items():
        num_bytes = getattr(memory, name)
        part = width * num_bytes / whole if whole else 0.0
        if part >= 0.05:
            svg.rect(x, y, part, height, fill=colour, title=f"{_WORDS[name]}: {gib(num_bytes)}")
        x += part


def _legend(svg: Svg, memory: Memory, x: float, y: float) -> float:
    left = x
    for name, colour in MEMORY.items():
        words = f"{_WORDS[name]} {gib(getattr(memory, name))}"
        svg.rect(left, y, 12, 12, fill=colour)
        svg.text(left + 17, y + 10, words)
        left += 30 + 7.1 * len(words)
    return y + _LINE
