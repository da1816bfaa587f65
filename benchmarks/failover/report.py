"""The report of a run as markdown, with its plots beside it."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.killing import WINDOW_S
from benchmarks.failover.plots import draw
from benchmarks.failover.rows import calm_rate, rows
from benchmarks.failover.stalls import quantile, spread

PHASES = ("detect", "decide", "load", "resume")
MEANINGS = (
    "*detect*: until the pod's report says so. *decide*: until the stage's next epoch (nothing is decided where a rank"
    " comes back into its seat). *load*: until every expert of the dead rank is reported held. *resume*: from then to"
    " the last waiting stream's next token."
)
PARTS = ("exit", "device", "hang", "copies-exit", "copies-device")


def write_report(journal: Journal, folder: Path) -> Path:
    """Write report.md and the plots that there are records for."""
    sections = [_title(journal), _table(journal), _kills(journal), _phases(journal), _calm(journal), _broken(journal)]
    pictures = [f"![{path.stem}]({path.name})" for path in draw(journal, folder)]
    file = folder / "report.md"
    file.write_text("\n\n".join([section for section in sections if section] + pictures) + "\n")
    return file


def _title(journal: Journal) -> str:
    run = journal.read("run")[-1]
    machine = ", ".join(f"{name} {value}" for name, value in run["machine"].items())
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in run["options"].items())
    return f"# What a failure costs\n\n{machine}\n\n`{options}`"


def _table(journal: Journal) -> str:
    lines = [[row.what, row.bar, row.found, row.verdict] for row in rows(journal)]
    return "Times are the median, and from least to most.\n\n" + _markdown(["what", "bar", "found", "kept"], lines)


def _kills(journal: Journal) -> str:
    lines = []
    for part in PARTS:
        kills = journal.read("kill", part=part)
        own, others = _all(kills, "own"), _all(kills, "others")
        if kills:
            tail = f"{1000 * quantile(others, 0.99):.0f} ms" if others else "-"
            lines.append([part, str(len(kills)), spread(own), spread(others), tail])
    longest = [gap for one in journal.read("calm") for gap in one["longest"]]
    lines.append([f"nothing failed, in {WINDOW_S:g} s", "-", spread(longest), spread(longest), "-"])
    return "## Longest wait for a token\n\n" + _markdown(
        ["failure", "kills", "its lane's streams", "other streams", "99 % of the others"], lines
    )


def _phases(journal: Journal) -> str:
    lines = []
    for part in PARTS:
        kills = [kill["phases"] for kill in journal.read("kill", part=part)]
        if kills:
            lines.append([part, *(_phase(kills, phase) for phase in PHASES)])
    return f"## Where the time goes\n\n{MEANINGS}\n\n" + _markdown(["failure", *PHASES], lines) if lines else ""


def _phase(kills: Sequence[Record], phase: str) -> str:
    return spread([kill[phase] for kill in kills if kill[phase] is not None])


def _calm(journal: Journal) -> str:
    found, rate = journal.read("calm"), calm_rate(journal)
    if rate is None:
        return ""
    between = [gap for one in found for gap in one["between"]]
    tokens = sum(one["tokens"] for one in found)
    cpu: dict[str, float] = {}
    for one in found:
        for role, seconds in one["cpu"].items():
            cpu[role] = cpu.get(role, 0.0) + seconds
    whole = sum(cpu.values())
    lines = [
        [role, f"{1000 * seconds / tokens:.2f}", f"{seconds / whole:.1%}"]
        for role, seconds in sorted(cpu.items(), key=lambda item: -item[1])
    ]
    told = f"{rate:.1f} tokens/s, {1000 * median(between):.0f} ms between two tokens"
    return f"## While nothing fails\n\n{told}.\n\n" + _markdown(["processes", "CPU ms a token", "of all"], lines)


def _broken(journal: Journal) -> str:
    lines = [line for part in journal.read("streams") for line in (*part["failed"], *part["wrong"])]
    return "## Streams that failed or were wrong\n\n" + "\n".join(f"* {line}" for line in lines) if lines else ""


def _all(kills: Sequence[Record], field: str) -> list[float]:
    return [wait for kill in kills for wait in kill[field]]


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))
