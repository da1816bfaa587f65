"""Plain tables for a terminal of 120 columns. Knows cells, not what they mean."""

import textwrap
from collections.abc import Sequence

COLUMNS = 120
_GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns, two spaces apart; the last one is wrapped where the terminal ends."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header) - 1)]
    return "\n".join(line for row in [header, *rows] for line in _row(row, widths))


def annotated(header: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[Sequence[str]]) -> str:
    """A table with words below each row, indented to the second column; empty ones are left out."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header) - 1)]
    lead = " " * (widths[0] + len(_GAP))
    lines = _row(header, widths)
    for row, below in zip(rows, words, strict=True):
        lines.extend(_row(row, widths))
        lines.extend(line for text in below if text for line in wrapped(text, lead))
    return "\n".join(lines)


def wrapped(text: str, lead: str = "") -> list[str]:
    """Lines of at most 120 columns: the first begins with `lead`, the others below its end."""
    hanging = " " * len(lead)
    lines = textwrap.wrap(text, width=COLUMNS, initial_indent=lead, subsequent_indent=hanging, break_on_hyphens=False)
    return lines or [lead.rstrip()]


def _row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    lead = "".join(cell.ljust(width) + _GAP for cell, width in zip(row, widths, strict=False))
    room = max(20, COLUMNS - len(lead))
    first, *others = textwrap.wrap(row[-1], width=room, break_on_hyphens=False) or [""]
    return [(lead + first).rstrip(), *(" " * len(lead) + other for other in others)]
