"""Names for what KV blocks hold: a full block is named by all tokens of its sequence up to its end, in one hash.

A block's name is the hash of the name before it and of its own tokens. The hash is cryptographic, so equal names mean
equal tokens, whatever tokens somebody chooses to send.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b

_DIGEST_BYTES = 32


def extend(names: list[bytes], tokens: Sequence[int], block_size: int) -> None:
    """Name the full blocks of `tokens` beyond those that `names` has already."""
    for start in range(len(names) * block_size, len(tokens) - block_size + 1, block_size):
        digest = blake2b(names[-1] if names else b"", digest_size=_DIGEST_BYTES)
        digest.update(array("I", tokens[start : start + block_size]).tobytes())
        names.append(digest.digest())
