"""The largest numbers that the planner takes, and how an error shows a value, however large it is.

The limits are far above what exists, and far below what would keep the planner busy for hours.
"""

import reprlib

MOST_LAYERS = 10_000
MOST_EXPERTS = 250_000
"""Of a layer, and of all layers together."""
MOST_GPUS = 250_000
"""Of a node, and of all nodes together; also the most nodes."""
MOST_SIZE = 1_000_000_000
"""Hidden size, FFN width, heads, vocabulary, tokens, sequences: what is only multiplied."""
MOST_BYTES = 1 << 60
MOST_RATE = 1e30
"""FLOP/s, bytes/s, tokens/s."""
MOST_SECONDS = 1e9

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_EXACT = 10**18


def shown(value: object) -> str:
    """A value as an error shows it: as it was written, cut where it is long, quoted where it would not be seen."""
    if isinstance(value, int) and abs(value) > _EXACT:
        return f"{'-' if value < 0 else ''}about 2^{value.bit_length()}"
    if isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= _SHORT.maxstring:
        return value
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number inside has more digits than Python prints
        return f"a {type(value).__name__} with a number too large to print"
