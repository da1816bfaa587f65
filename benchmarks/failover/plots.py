"""Three pictures of a run: how long streams waited, where that time went, and the rate of tokens around a kill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.failover.journal import Journal
from benchmarks.failover.killing import BEFORE_S, BIN_S
from benchmarks.failover.rows import calm_rate

SIZE = (8.0, 4.0)
PHASES = ("detect", "decide", "load", "resume")
PARTS = ("exit", "device", "hang", "copies-exit", "copies-device")
Picture = Callable[[Axes, Journal], None]


def draw(journal: Journal, folder: Path) -> list[Path]:
    """One SVG each, of those that there are kills for."""
    if not journal.read("kill"):
        return []
    pictures: dict[str, Picture] = {"stalls": _stalls, "phases": _phases, "rate": _rate}
    return [_save(folder / f"{name}.svg", picture, journal) for name, picture in pictures.items()]


def _save(file: Path, picture: Picture, journal: Journal) -> Path:
    figure = Figure(figsize=SIZE, layout="constrained")
    picture(figure.subplots(), journal)
    figure.savefig(file)
    return file


def _stalls(axes: Axes, journal: Journal) -> None:
    """The share of streams that waited at most so long, by failure."""
    longest = [gap for one in journal.read("calm") for gap in one["longest"]]
    if longest:
        _steps(axes, longest, "nothing failed", color="grey")
    for index, part in enumerate(PARTS):
        kills = journal.read("kill", part=part)
        for whose, style in (("own", "-"), ("others", ":")):
            waits = [wait for kill in kills for wait in kill[whose]]
            if waits:
                label = f"{part}, {'its lane' if whose == 'own' else 'others'}"
                _steps(axes, waits, label, color=f"C{index}", linestyle=style)
    axes.set(xlabel="longest wait for a token, s", ylabel="share of streams", ylim=(0, 1), title="Stalls")
    axes.set_xlim(left=0)
    axes.legend(fontsize="small")


def _steps(axes: Axes, values: Sequence[float], label: str, *, color: str, linestyle: str = "-") -> None:
    ordered = sorted(values)
    shares = [(index + 1) / len(ordered) for index in range(len(ordered))]
    axes.step(ordered, shares, where="post", label=label, color=color, linestyle=linestyle)


def _phases(axes: Axes, journal: Journal) -> None:
    """Medians, one bar for each failure."""
    for row, part in enumerate(PARTS):
        kills, left = journal.read("kill", part=part), 0.0
        for index, phase in enumerate(PHASES):
            found = [kill["phases"][phase] for kill in kills if kill["phases"][phase] is not None]
            width = median(found) if found else 0.0
            axes.barh(row, width, left=left, color=f"C{index}", label=phase if row == 0 else None)
            left += width
    axes.set_yticks(range(len(PARTS)), PARTS)
    axes.invert_yaxis()
    axes.set(xlabel="seconds after the kill, medians", title="Where a stall's time goes")
    axes.legend(fontsize="small")


def _rate(axes: Axes, journal: Journal) -> None:
    """Tokens a second around a kill, the mean over all kills of a kind."""
    for part in PARTS:
        kills = journal.read("kill", part=part)
        if kills:
            columns = zip(*(kill["bins"] for kill in kills), strict=True)
            rates = [sum(column) / len(kills) / BIN_S for column in columns]
            axes.plot([index * BIN_S - BEFORE_S for index in range(len(rates))], rates, label=part)
    rate = calm_rate(journal)
    if rate is not None:
        axes.axhline(rate, color="grey", label="nothing failed")
    axes.set(xlabel="seconds after the kill", ylabel="tokens/s", title="Throughput around a kill")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")
