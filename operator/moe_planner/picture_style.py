"""Colours and type of the expert map: readable on its own paper, also for eyes that confuse red and green."""

PAPER, INK, DIM, LINE = "#ffffff", "#1a1f27", "#5a6472", "#c3cad3"

# Load over the mean of the stage -> colour, with the points between mixed.
_LOADS = ((0.0, (231, 238, 246)), (1.0, (120, 170, 214)), (1.5, (242, 177, 52)), (2.5, (192, 57, 43)))
_DARK_FROM = 1.8

COPIES = {0: "#000000", 1: "#9aa5b1", 2: "#2e8b57", 3: "#0b5d36"}
MEMORY = {
    "experts": "#4a7fb5",
    "takeover": "#a9c4de",
    "attention": "#7a5195",
    "embeddings": "#b08bc4",
    "kv_cache": "#e08e2b",
    "buffers": "#8a949f",
}
LOST, TAKER = "#3b3f45", "#7b1fa2"

STYLE = (
    f".paper{{fill:{PAPER}}}"
    f"text{{font-family:'DejaVu Sans',Verdana,Helvetica,Arial,sans-serif;font-size:12px;fill:{INK}}}"
    f".strong{{font-size:14px;font-weight:bold}}"
    f".dim{{fill:{DIM}}}"
    f".small{{font-size:10px}}"
    f".tiny{{font-size:9px}}"
    f".taker{{fill:none;stroke:{TAKER};stroke-width:2.5}}"
    f".cross{{stroke:#ffffff;stroke-width:1.5}}"
    f".rule{{stroke:{LINE};stroke-width:1}}"
    f".limit{{stroke:{INK};stroke-width:1.5;stroke-dasharray:4 3}}"
    f".frame{{fill:none;stroke:{LINE};stroke-width:1}}"
)


def load_colour(load: float) -> str:
    """Pale below the mean, blue at it, amber and red above."""
    below = _LOADS[0]
    for point in _LOADS[1:]:
        if load <= point[0]:
            share = max(0.0, (load - below[0]) / (point[0] - below[0]))
            mixed = (round(a + (b - a) * share) for a, b in zip(below[1], point[1], strict=True))
            return "#" + "".join(f"{part:02x}" for part in mixed)
        below = point
    return "#" + "".join(f"{part:02x}" for part in below[1])


def text_colour(load: float) -> str:
    """Words on a cell of that load."""
    return PAPER if load >= _DARK_FROM else INK


def copies_colour(copies: int) -> str:
    return COPIES[min(copies, max(COPIES))]
