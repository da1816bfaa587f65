"""The expert map as an SVG: stages as rows, GPUs as cells grouped by node, load and copies as colour, memory as bars.

Knows where things are drawn, not where they come from. The picture brings its own paper, so that it reads on light
and on dark pages.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil

from moe_planner.layout import Seat, StageLayout
from moe_planner.memory import Memory
from moe_planner.moves import Rehosting
from moe_planner.picture_legend import draw_legend
from moe_planner.picture_memory import draw_memory, draw_stage_memory
from moe_planner.picture_style import LOST, STYLE, copies_colour, load_colour, text_colour
from moe_planner.svg import Svg
from moe_planner.tables import wrapped

WIDTH = 1400
_MARGIN = 24
_LABEL = 128
_MEMORY = 150
_ROOM = WIDTH - 2 * _MARGIN - _LABEL - _MEMORY - 16
_GAP = 2.0
_NODE_GAP = 8.0
_LEAST_CELL, _MOST_CELL = 11.0, 64.0
_WORDY_CELL = 26.0
_LINE = 18
_LOST_SHOWN = 12

StageKey = tuple[int, int]
"""Replica and stage."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is drawn. `loads` are each rank's over the mean of its stage; `after` is what a failure makes of a stage."""

    title: str
    stages: Mapping[StageKey, StageLayout]
    memories: Mapping[StageKey, Memory]
    gpu_memory_bytes: int
    loads: Mapping[StageKey, Mapping[int, float]]
    after: Mapping[StageKey, Rehosting] = field(default_factory=dict)


def draw(picture: Picture) -> str:
    """The SVG file. Same picture, same bytes."""
    svg = Svg()
    y = _heading(svg, picture, float(_MARGIN))
    y = draw_legend(svg, _MARGIN, y, has_failures=bool(picture.after))
    cell = _cell_width(picture.stages.values())
    most = max((memory.total for memory in picture.memories.values()), default=0)
    for key, stage in picture.stages.items():
        y = _stage(svg, picture, key, stage, cell, most, y)
    y = _losses(svg, picture, y + 6)
    fullest = max(picture.memories.values(), key=lambda memory: memory.total)
    y = draw_memory(svg, fullest, picture.gpu_memory_bytes, _MARGIN, y + 14, WIDTH - 2 * _MARGIN)
    return svg.document(WIDTH, y + _MARGIN, STYLE)


def _heading(svg: Svg, picture: Picture, y: float) -> float:
    for line in wrapped(picture.title):
        svg.text(_MARGIN, y + 14, line, style="strong")
        y += _LINE + 2
    return y + 4


def _cell_width(stages: Iterable[StageLayout]) -> float:
    """As wide as lets the widest stage stand in one line, within limits; beyond them a stage takes several lines."""
    widest = max(stages, key=lambda stage: len(stage.seats))
    pods = len({seat.pod for seat in widest.seats})
    free = _ROOM - (pods - 1) * _NODE_GAP
    return min(_MOST_CELL, max(_LEAST_CELL, free / len(widest.seats) - _GAP))


def _stage(svg: Svg, picture: Picture, key: StageKey, stage: StageLayout, cell: float, most: int, y: float) -> float:
    """One row; returns where the next begins."""
    height = 26.0 if cell >= _WORDY_CELL else 13.0
    lines = _lines(stage.seats, cell)
    has_nodes = len(picture.stages) <= 32 and cell >= _WORDY_CELL
    top = y + (12 if has_nodes else 0)
    _stage_label(svg, key, stage, len({replica for replica, _ in picture.stages}) > 1, top)
    pen = _Cells(svg, stage, picture.loads.get(key, {}), picture.after.get(key), cell, height)
    for number, pods in enumerate(lines):
        x = float(_MARGIN + _LABEL)
        for seats in pods:
            if has_nodes:
                svg.text(x, top - 3, seats[0].node or "any node", style="dim tiny")
            for seat in seats:
                pen.draw(seat, x, top + number * (height + _GAP + 2))
                x += cell + _GAP
            x += _NODE_GAP - _GAP
    bottom = top + len(lines) * (height + _GAP + 2)
    if key in picture.memories:
        bar = min(height, 16.0)
        draw_stage_memory(svg, picture.memories[key], most, WIDTH - _MARGIN - _MEMORY, top, _MEMORY, bar)
    return bottom + (6 if has_nodes else 3)


def _stage_label(svg: Svg, key: StageKey, stage: StageLayout, has_replicas: bool, y: float) -> None:
    last = stage.first_layer + stage.num_layers - 1
    layers = f"layer {last}" if stage.num_layers == 1 else f"layers {stage.first_layer}-{last}"
    name = f"r{key[0]} s{stage.stage}" if has_replicas else f"stage {stage.stage}"
    svg.text(_MARGIN, y + 11, name)
    svg.text(_MARGIN + 58, y + 11, layers, style="dim small")


def _lines(seats: Sequence[Seat], cell: float) -> list[list[list[Seat]]]:
    """The pods of a stage in as few lines as fit, and about as many in each; a pod wider than a line is cut."""
    widest = max(1, int((_ROOM + _GAP) // (cell + _GAP)))
    pods = [list(group) for _, group in groupby(seats, key=lambda seat: seat.pod)]
    parts = [pod[start : start + widest] for pod in pods for start in range(0, len(pod), widest)]
    width = max(len(part) for part in parts) * (cell + _GAP) - _GAP
    most = max(1, int((_ROOM + _NODE_GAP) // (width + _NODE_GAP)))
    per_line = ceil(len(parts) / ceil(len(parts) / most))
    return [parts[start : start + per_line] for start in range(0, len(parts), per_line)]


class _Cells:
    """Draws the GPUs of one stage, as they are after a failure where there was one."""

    def __init__(
        self,
        svg: Svg,
        stage: StageLayout,
        loads: Mapping[int, float],
        after: Rehosting | None,
        width: float,
        height: float,
    ) -> None:
        self._svg = svg
        self._now = after.layout if after else stage
        self._loads = loads
        self._width = width
        self._height = height
        self._lost = set(self._now.masked)
        self._taken: dict[int, list[int]] = {}
        for move in after.moves if after else ():
            self._taken.setdefault(move.to_rank, []).append(move.expert)

    def draw(self, seat: Seat, x: float, y: float) -> None:
        load = self._loads.get(seat.rank, 0.0)
        experts = self._now.held(seat.rank)
        is_lost = seat.rank in self._lost
        copies = min((len(self._now.hosts(expert)) for expert in experts), default=0)
        fill = LOST if is_lost else load_colour(load)
        self._svg.rect(x, y, self._width, self._height, fill=fill, title=self._title(seat, experts, load, copies))
        if is_lost:
            self._cross(x, y)
            return
        if experts:
            stripe = 4.0 if self._height > 20 else 3.0
            colour = copies_colour(copies)
            self._svg.rect(x, y + self._height - stripe, self._width, stripe, fill=colour)
        if self._width >= _WORDY_CELL:
            words = _held(experts, self._taken.get(seat.rank, []), self._width)
            middle = x + self._width / 2
            self._svg.text(middle, y + 14, words, style="small", anchor="middle", colour=text_colour(load))
        if seat.rank in self._taken:
            self._svg.rect(x, y, self._width, self._height, style="taker")

    def _title(self, seat: Seat, experts: Sequence[int], load: float, copies: int) -> str:
        lanes = self._now.lanes_at(seat.rank)
        held = ",".join(map(str, experts)) or "none"
        place = f"rank {seat.rank} {seat.node or 'any node'} gpu {seat.gpu}"
        if seat.rank in self._lost:
            return f"{place}: lost"
        taken = self._taken.get(seat.rank)
        more = f", took {','.join(map(str, taken))}" if taken else ""
        return f"{place}: experts {held}, copies {copies}, lanes {','.join(map(str, lanes))}, load {load:.2f}{more}"

    def _cross(self, x: float, y: float) -> None:
        right, bottom = x + self._width - 3, y + self._height - 3
        self._svg.line(x + 3, y + 3, right, bottom, style="cross")
        self._svg.line(x + 3, bottom, right, y + 3, style="cross")


def _held(experts: Sequence[int], taken: Sequence[int], width: float) -> str:
    """Expert numbers, or how many there are where they do not fit; what a GPU took over is marked with a plus."""
    shown = [f"+{expert}" if expert in taken else f"{expert}" for expert in experts]
    words = ",".join(shown)
    most = int(width / 6.2)
    if len(words) <= most:
        return words
    return f"×{len(experts)}"


def _losses(svg: Svg, picture: Picture, y: float) -> float:
    """What the failure leaves without a host, stage by stage."""
    told = [(key, one) for key, one in picture.after.items() if one.lost_experts or one.homeless_lanes]
    for (_, number), one in told[:_LOST_SHOWN]:
        lost, lanes = ", ".join(map(str, one.lost_experts)), ", ".join(map(str, one.homeless_lanes))
        parts = [f"experts {lost} lost" if lost else "", f"lanes {lanes} without a rank" if lanes else ""]
        words = f"stage {number}: {'; '.join(part for part in parts if part)}"
        for line in wrapped(words)[:3]:
            svg.text(_MARGIN, y + 13, line)
            y += _LINE
    if len(told) > _LOST_SHOWN:
        svg.text(_MARGIN, y + 13, f"and {len(told) - _LOST_SHOWN} more stages", style="dim")
        y += _LINE
    return y
