"""The report of a run as markdown, with its plots beside it."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.failover.costs import costs
from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.killing import WINDOW_S
from benchmarks.failover.markdown import table
from benchmarks.failover.plots import draw
from benchmarks.failover.rows import COPIED, SINGLE, calm_waits, kills_of, levels, rows
from benchmarks.failover.stalls import quantile, spread

PHASES = ("detect", "decide", "load", "resume")
MEANINGS = (
    "*detect*: until the pod's report says so. *decide*: until the stage's next epoch (nothing is decided where a rank"
    " comes back into its seat). *load*: until every expert of the dead rank is reported held. *resume*: from then to"
    " the last waiting stream's next token."
)
READING = (
    "Times are the median, and from least to most. *Undisturbed* is the longest wait of a stream in"
    f" {WINDOW_S:g} s in which nothing failed, under the same load in the same run: no stall can be told from it that"
    " is shorter. Where the cores are full, most of a stall is that."
)
PARTS = (*SINGLE, "hang", *COPIED)


def write_report(journal: Journal, folder: Path) -> Path:
    """Write report.md and the plots that there are records for."""
    draw(journal, folder)
    return write_text(journal, folder)


def write_text(journal: Journal, folder: Path) -> Path:
    """Write report.md with the plots that are there: cheap enough between two parts."""
    sections = [_title(journal), _table(journal), _kills(journal), _phases(journal), *costs(journal), _broken(journal)]
    pictures = [f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.svg"))]
    file = folder / "report.md"
    file.write_text("\n\n".join([section for section in sections if section] + pictures) + "\n")
    return file


def _title(journal: Journal) -> str:
    run = journal.read("run")[-1]
    machine = ", ".join(f"{name} {value}" for name, value in run["machine"].items())
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in run["options"].items())
    return f"# What a failure costs\n\n{machine}\n\n`{options}`"


def _table(journal: Journal) -> str:
    lines = [[row.what, row.bar, row.found, row.calm, row.verdict] for row in rows(journal)]
    return f"{READING}\n\n" + table(["what", "bar", "found", "undisturbed", "kept"], lines)


def _kills(journal: Journal) -> str:
    lines = []
    for streams in levels(journal):
        for part in PARTS:
            kills = kills_of(journal, streams, [part])
            own, others = _all(kills, "own"), _all(kills, "others")
            if kills:
                tail = f"{1000 * quantile(others, 0.99):.0f} ms" if others else "-"
                lines.append([str(streams), part, str(len(kills)), spread(own), spread(others), tail])
        calm = spread(calm_waits(journal, streams))
        lines.append([str(streams), "nothing", "-", calm, calm, "-"])
    head = ["streams", "failure", "kills", "its lane's streams", "other streams", "99 % of the others"]
    return "## Longest wait for a token\n\n" + table(head, lines)


def _phases(journal: Journal) -> str:
    lines = []
    for streams in levels(journal):
        for part in PARTS:
            kills = [kill["phases"] for kill in kills_of(journal, streams, [part])]
            if kills:
                lines.append([str(streams), part, *(_phase(kills, phase) for phase in PHASES)])
    head = ["streams", "failure", *PHASES]
    return f"## Where the time goes\n\n{MEANINGS}\n\n" + table(head, lines) if lines else ""


def _phase(kills: Sequence[Record], phase: str) -> str:
    return spread([kill[phase] for kill in kills if kill[phase] is not None])


def _broken(journal: Journal) -> str:
    lines = [line for part in journal.read("streams") for line in (*part["failed"], *part["wrong"])]
    lines += [f"part {one['part']} broke: {one['error']}" for one in journal.read("broken")]
    return "## What failed or was wrong\n\n" + "\n".join(f"* {line}" for line in lines) if lines else ""


def _all(kills: Sequence[Record], field: str) -> list[float]:
    return [wait for kill in kills for wait in kill[field]]
