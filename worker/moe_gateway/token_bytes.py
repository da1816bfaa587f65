"""What one token alone is, in bytes: half a character has no text, but it has bytes.

Knows the two ways in which tokenizers spell bytes: the byte-level alphabet (GPT-2's and most after it), and
SentencePiece's, with ▁ for a space and <0x0A> for a byte.
"""

import re

from tokenizers import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>\Z")


class TokenBytes:
    """The bytes of each token of a vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = {token: added.content for token, added in tokenizer.get_added_tokens_decoder().items()}
        decoder = tokenizer.decoder
        is_byte_level = decoder is not None and b"ByteLevel" in decoder.__getstate__()
        self._alphabet = _byte_level_alphabet() if is_byte_level else None

    def is_added(self, token: int) -> bool:
        """Whether it stands beside the vocabulary, as special tokens do, which may be no text of a prompt."""
        return token in self._added

    def of(self, token: int) -> bytes:
        """Empty for an id that stands for no token."""
        if token in self._added:
            return str(self._added[token]).encode()
        piece = self._tokenizer.id_to_token(token) or ""
        if self._alphabet is not None:
            return bytes(self._alphabet[character] for character in piece if character in self._alphabet)
        byte = _BYTE.match(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """Printable characters of Latin-1 stand for themselves, the other bytes for the characters from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
