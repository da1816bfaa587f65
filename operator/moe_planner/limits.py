"""The largest numbers that the planner takes, and how an error shows a value, however large it is.

The limits are far above what exists, and far below what would keep the planner busy for hours.
"""

import reprlib

MOST_LAYERS = 1024
MOST_EXPERTS = 16_384
"""Of a layer."""
MOST_EXPERTS_IN_ALL = 262_144
MOST_GPUS = 262_144
"""Of a node, and of all nodes together; also the most nodes, and the largest degree."""
MOST_SIZE = 1_000_000_000
"""Hidden size, FFN width, heads, vocabulary, tokens, sequences: what is only multiplied."""
MOST_TOKENS = 1_000_000_000_000_000
"""Of a lane's KV cache."""
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
        return f"about {'-' if value < 0 else ''}2^{value.bit_length()}"
    if isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= _SHORT.maxstring:
        return value
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number inside has more digits than Python prints
        return f"a {type(value).__name__} with a number too large to print"
