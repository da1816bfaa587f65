"""The table as markdown and as JSON: medians, the spread in brackets, and the ratio beside what was asked for."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.engine.cases import Row
from benchmarks.machine import machine

HEADER = "| what | peer | ours | theirs | unit | ratio | asked for |\n|---|---|---|---|---|---|---|\n"


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one number type, and what the hardware gave in the same run."""

    dtype: str
    rates: Mapping[str, float]
    rows: Sequence[Row]


def markdown(parts: Sequence[Part], left_out: Sequence[str]) -> str:
    """One table for each number type, and what was not measured."""
    lines = [f"{key}: {value}" for key, value in machine().items()]
    text = "; ".join(lines) + "\n"
    for part in parts:
        rates = ", ".join(f"{name} {rate:.1f}" for name, rate in part.rates.items())
        text += f"\n**{part.dtype}**, one thread: {rates}\n\n{HEADER}"
        text += "".join(_line(row) for row in part.rows)
    return text + "".join(f"\nNot measured: {one}.\n" for one in left_out)


def write(folder: Path, parts: Sequence[Part], left_out: Sequence[str]) -> None:
    """`engine.md` and `engine.json` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "engine.md").write_text(markdown(parts, left_out))
    found = {"machine": machine(), "parts": [asdict(part) for part in parts], "left_out": list(left_out)}
    (folder / "engine.json").write_text(json.dumps(found, indent=1) + "\n")


def ratio(row: Row) -> float:
    """Of the medians."""
    return statistics.median(row.ours) / statistics.median(row.theirs)


def _line(row: Row) -> str:
    cells = [row.what, row.peer, _spread(row.ours), _spread(row.theirs), row.unit]
    return f"| {' | '.join(cells)} | {ratio(row):.2f} | {row.bar:g} |\n"


def _spread(values: Sequence[float]) -> str:
    median = statistics.median(values)
    digits = 0 if median >= 100 else 1 if median >= 1 else 3
    return f"{median:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
