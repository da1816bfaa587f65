"""llama.cpp at its best on a CPU: one thread, flash attention, all sequences of a step in one batch.

Driven by its C functions, as `llama_cpp` of the llama-cpp-python package gives them: nothing of Python's is timed but
the filling of a batch and the choice of the likeliest token.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy

FLASH_ATTENTION = 1
ROOM = 64
"""Tokens of each sequence beyond its prompt."""
BATCH = 2048


def _silently(level: int, text: bytes, data: object) -> None:
    """llama.cpp tells much; errors come as results."""


SILENT = llama_cpp.llama_log_callback(_silently)


class Llama:
    """One GGUF file, greedy."""

    name = "llama.cpp"

    def __init__(self, path: Path, vocab: int) -> None:
        llama_cpp.llama_log_set(SILENT, None)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot read {path}")
        self._vocab = vocab
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._context: Any = None
        self._shape = (0, 0)

    def begin(self, prompts: Sequence[Sequence[int]]) -> None:
        """Prefill of prompts of one length."""
        self._open(len(prompts), len(prompts[0]))
        self._length = len(prompts[0])
        rows = [(token, at, number) for number, prompt in enumerate(prompts) for at, token in enumerate(prompt)]
        for start in range(0, len(rows), BATCH):
            self._decode(rows[start : start + BATCH], self._length - 1)

    def step(self) -> None:
        """One token more of each."""
        self._decode([(token, self._length, number) for number, token in sorted(self.tokens.items())], self._length)
        self._length += 1

    def _open(self, sequences: int, length: int) -> None:
        """A context for so many sequences, empty."""
        if self._shape != (sequences, length):
            if self._context:
                llama_cpp.llama_free(self._context)
            params = llama_cpp.llama_context_default_params()
            params.n_ctx, params.n_seq_max = sequences * (length + ROOM), sequences
            params.n_batch = params.n_ubatch = BATCH
            params.n_threads = params.n_threads_batch = 1
            params.flash_attn_type = FLASH_ATTENTION
            self._context = llama_cpp.llama_init_from_model(self._model, params)
            self._shape = (sequences, length)
        self.tokens: dict[int, int] = {}
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)

    def _decode(self, rows: Sequence[tuple[int, int, int]], last: int) -> None:
        """(token, position, sequence) each; those at position `last` give a token."""
        batch, ends = self._batch, []
        batch.n_tokens = len(rows)
        for place, (token, position, number) in enumerate(rows):
            batch.token[place], batch.pos[place] = token, position
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, number
            batch.logits[place] = position == last
            if position == last:
                ends.append((place, number))
        status = llama_cpp.llama_decode(self._context, batch)
        assert status == 0, f"llama_decode said {status}"
        for place, number in ends:
            logits = llama_cpp.llama_get_logits_ith(self._context, place)
            self.tokens[number] = int(numpy.ctypeslib.as_array(logits, (self._vocab,)).argmax())
