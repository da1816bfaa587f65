"""Pictures of a run: how long streams waited, where that time went, tokens around a kill, and an uneven load.

On a white ground of their own, so that they can be read wherever they are shown.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import mean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.killing import BEFORE_S, BIN_S
from benchmarks.failover.rows import COPIED, SINGLE, calm_rate, calm_waits, kills_of, levels

WIDTH, HEIGHT = 9.0, 4.2
PHASES = {"detect": "#0072b2", "decide": "#e69f00", "load": "#009e73", "resume": "#cc79a7"}
KINDS = {
    "rank or GPU dies": (SINGLE, "#d55e00"),
    "rank hangs": (("hang",), "#0072b2"),
    "dies, live copy": (COPIED, "#009e73"),
}
"""What a line stands for: the parts, and the colour (told apart by the colour-blind too)."""
CALM = "#666666"
GROUP = "#000000"
Picture = Callable[[Figure, Journal], None]


def draw(journal: Journal, folder: Path) -> list[Path]:
    """One SVG each, of those that there are records for."""
    pictures: dict[str, tuple[str, Picture]] = {
        "stalls": ("kill", _stalls),
        "phases": ("kill", _phases),
        "rate": ("kill", _rates),
        "rebalance": ("rebalance", _uneven),
    }
    return [
        _save(folder / f"{name}.svg", picture, journal)
        for name, (kind, picture) in pictures.items()
        if journal.read(kind)
    ]


def _save(file: Path, picture: Picture, journal: Journal) -> Path:
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained", facecolor="white")
    picture(figure, journal)
    figure.savefig(file, metadata={"Date": None})
    return file


def _panels(figure: Figure, journal: Journal, *, share_y: bool) -> list[tuple[int, Axes]]:
    """One for each load that kills were made under."""
    loads = [streams for streams in levels(journal) if journal.read("kill", streams=streams)]
    axes = figure.subplots(1, len(loads), sharey=share_y, sharex=True, squeeze=False)[0]
    return list(zip(loads, axes, strict=True))


def _stalls(figure: Figure, journal: Journal) -> None:
    """The share of streams that waited at most so long, by failure; the waits of group restarts beside them."""
    panels = _panels(figure, journal, share_y=True)
    for streams, axes in panels:
        if calm := calm_waits(journal, streams):
            _steps(axes, calm, "nothing failed", color=CALM)
        for name, (parts, color) in KINDS.items():
            kills = kills_of(journal, streams, parts)
            for whose, style in (("own", "-"), ("others", ":")):
                label = f"{name}: {'its lane' if whose == 'own' else 'others'}"
                _steps(axes, [wait for kill in kills for wait in kill[whose]], label, color=color, linestyle=style)
        for mode, style in (("warm", "--"), ("cold", "-.")):
            waits = [wait for one in journal.read("group", mode=mode, streams=streams) for wait in one["waits"]]
            _steps(axes, waits, f"group restart, {mode}", color=GROUP, linestyle=style)
        axes.set(xscale="log", ylim=(0, 1.02), xlabel="longest wait for a token, s", title=f"{streams} streams")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(alpha=0.3, which="both")
    panels[0][1].set_ylabel("share of the streams")
    _legend(figure, [axes for _, axes in panels])


def _steps(axes: Axes, values: Sequence[float], label: str, *, color: str, linestyle: str = "-") -> None:
    if values:
        ordered = sorted(values)
        shares = [index / len(ordered) for index in range(len(ordered) + 1)]
        axes.step([ordered[0], *ordered], shares, where="post", label=label, color=color, linestyle=linestyle)


def _phases(figure: Figure, journal: Journal) -> None:
    """Medians, one bar for each failure and load."""
    axes = figure.subplots()
    names: list[str] = []
    for streams in levels(journal):
        for part in (*SINGLE, "hang", *COPIED):
            if kills := kills_of(journal, streams, [part]):
                _bar(axes, len(names), kills)
                names.append(f"{part}, {streams} streams")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="s after the failure, medians", title="Where a stall's time goes")
    axes.grid(alpha=0.3, axis="x")
    _legend(figure, [axes])


def _bar(axes: Axes, row: int, kills: Sequence[Record]) -> None:
    left = 0.0
    for phase, color in PHASES.items():
        found = [kill["phases"][phase] for kill in kills if kill["phases"][phase] is not None]
        width = median(found) if found else 0.0
        axes.barh(row, width, left=left, color=color, label=phase)
        left += width


def _rates(figure: Figure, journal: Journal) -> None:
    """Tokens a second around a kill, the mean over all kills of a kind."""
    panels = _panels(figure, journal, share_y=False)
    for streams, axes in panels:
        for name, (parts, color) in KINDS.items():
            if kills := kills_of(journal, streams, parts):
                columns = zip(*(kill["bins"] for kill in kills), strict=True)
                rates = [mean(column) / BIN_S for column in columns]
                middles = [(index + 0.5) * BIN_S - BEFORE_S for index in range(len(rates))]
                axes.plot(middles, rates, label=name, color=color)
        rate = calm_rate(journal, streams)
        if rate is not None:
            axes.axhline(rate, color=CALM, linestyle="--", label="nothing failed")
        axes.axvline(0, color=GROUP, linewidth=0.8)
        axes.set(xlabel="s after the failure", title=f"{streams} streams", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0][1].set_ylabel("tokens/s")
    _legend(figure, [axes for _, axes in panels])


def _uneven(figure: Figure, journal: Journal) -> None:
    """A stage's ranks by how much they have to do, the mean over the stages."""
    axes, one = figure.subplots(), journal.read("rebalance")[-1]
    for offset, half, color in ((-0.2, "before", "#d55e00"), (0.2, "after", "#009e73")):
        stages: dict[str, list[float]] = {}
        for rank in one[half]["ranks"]:
            stages.setdefault(rank["stage"], []).append(rank["rows"] / one[half]["tokens"])
        columns = zip_longest(*(sorted(found, reverse=True) for found in stages.values()), fillvalue=0.0)
        places = list(map(mean, columns))
        label = "as planned" if half == "before" else f"with {one['made']} spare copies"
        axes.bar([place + 1 + offset for place in range(len(places))], places, width=0.4, color=color, label=label)
    axes.set(xlabel="ranks of a stage, the busiest first", ylabel="expert rows a token", title="An uneven load")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, axis="y")
    _legend(figure, [axes])


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, beside them: no line is hidden by it."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(entries.values(), entries.keys(), loc="outside right upper", fontsize="small")
