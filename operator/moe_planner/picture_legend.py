"""The legend of the expert map. Draws; knows what the colours mean."""

from moe_planner.picture_style import LOST, copies_colour, load_colour
from moe_planner.svg import Svg

_BOX = 14
_LOADS = (0.0, 0.5, 1.0, 1.25, 1.5, 2.0, 2.5)


def draw_legend(svg: Svg, x: float, y: float, *, has_failures: bool) -> float:
    """One line; returns where the map begins."""
    svg.text(x, y + 11, "load over the stage's mean", style="dim")
    x += 190
    for load in _LOADS:
        words = f"{load:g}" if load < _LOADS[-1] else f"{load:g} and more"
        svg.rect(x, y, 30, _BOX, fill=load_colour(load))
        svg.text(x + 34, y + 11, words, style="small")
        x += 62 if load < _LOADS[-1] else 120
    svg.text(x, y + 11, "stripe: copies of a GPU's rarest expert", style="dim")
    x += 262
    for copies in (1, 2, 3):
        svg.rect(x, y + 4, 22, 6, fill=copies_colour(copies))
        svg.text(x + 26, y + 11, f"{copies}" if copies < 3 else "3+", style="small")
        x += 46
    if has_failures:
        y += 22
        left = 24.0
        svg.rect(left, y, 22, _BOX, fill=LOST)
        svg.line(left + 3, y + 3, left + 19, y + 11, style="cross")
        svg.line(left + 3, y + 11, left + 19, y + 3, style="cross")
        svg.text(left + 28, y + 11, "lost GPU", style="small")
        svg.rect(left + 100, y, 22, _BOX, style="taker")
        svg.text(
            left + 128, y + 11, "takes experts over (+ number); a number is an expert, ×n is n experts", style="small"
        )
    return y + 30
