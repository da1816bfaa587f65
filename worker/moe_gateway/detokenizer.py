"""Turns a stream of token ids into text, piece by piece, without ever showing half a character."""

from collections.abc import Sequence
from typing import Protocol

_REPLACEMENT = "\ufffd"
_LONGEST_INCOMPLETE = 3  # of a character's at most four UTF-8 bytes, so many may have come
_CONTEXT_TOKENS = 6
_LONGEST_WINDOW_TOKENS = 32
_CUT_WINDOW_TOKENS = 16


class Decoder(Protocol):
    """A tokenizer's way back."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids, special tokens left out."""
        ...


class Detokenizer:
    """Text of the tokens after `prompt`, whose tail is decoded along for the sake of spaces between words.

    Decodes a window that begins where the text was last complete, so a token costs two short decodings.
    """

    def __init__(self, decoder: Decoder, prompt: Sequence[int] = ()) -> None:
        self._decoder = decoder
        self._window = list(prompt[-_CONTEXT_TOKENS:])
        text = decoder.decode(self._window)
        self._num_emitted = _complete_length(text)
        self._num_complete_tokens = len(self._window) if self._num_emitted == len(text) else 0

    def push(self, token: int) -> str:
        """The text that is certain with this token; may be empty."""
        self._window.append(token)
        text = self._decoder.decode(self._window)
        end = _complete_length(text)
        piece = text[self._num_emitted : end]
        self._num_emitted = max(end, self._num_emitted)
        if piece and end == len(text):
            self._shorten_window()
        elif end == len(text) == self._num_emitted and not self._decoder.decode([token]):
            self._window.pop()  # a special token, however many of them follow each other
        elif len(self._window) > _LONGEST_WINDOW_TOKENS:
            self._cut_window(num_held=len(text) - self._num_emitted)
        return piece

    def flush(self) -> str:
        """What is left when no more tokens come: a broken end shows as U+FFFD."""
        piece = self._decoder.decode(self._window)[self._num_emitted :]
        self._num_emitted += len(piece)
        return piece

    def _shorten_window(self) -> None:
        # The last complete piece stays as context: decoders drop a space at the beginning of what they are given.
        self._window = self._window[self._num_complete_tokens :]
        self._num_emitted = len(self._decoder.decode(self._window))
        self._num_complete_tokens = len(self._window)

    def _cut_window(self, num_held: int) -> None:
        # Only broken bytes run on for so long. What UTF-8 makes of a byte depends on the three before it, no further.
        self._window = self._window[-_CUT_WINDOW_TOKENS:]
        self._num_emitted = max(0, len(self._decoder.decode(self._window)) - num_held)
        self._num_complete_tokens = 0


def _complete_length(text: str) -> int:
    """Length of the text without an end that may be the beginning of a character."""
    end = len(text)
    while end > 0 and len(text) - end < _LONGEST_INCOMPLETE and text[end - 1] == _REPLACEMENT:
        end -= 1
    return end
