"""`python -m benchmarks.engine`: one process of the engine against `transformers` and llama.cpp, row by row of a table.

The same random weights (16 layers x 16 experts, hidden 512), one thread, the two of a row in turns in every round.
llama.cpp takes part where its Python package is installed.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.engine.cases import Decoder, Pair, Row
from benchmarks.engine.one_process import OneProcess
from benchmarks.engine.peer import Peer
from benchmarks.engine.rates import rates
from benchmarks.engine.report import Part, markdown, write
from moe_worker.make_checkpoint import main as make_checkpoint
from moe_worker.model.families.registry import read_family

HIDDEN, FFN, LAYERS, CHOICES = 512, 1024, 16, 2
MID = (
    f"--layers {LAYERS} --experts 16 --hidden {HIDDEN} --heads 8 --kv-heads 8 --head-dim 64 --ffn {FFN} --vocab 4096"
    " --initializer-range 0.05"
)
SMALL = Path(__file__).parents[2] / "models" / "speaking"
BARS = {"transformers": {1: 2.0, 8: 2.0, 32: 2.2}, "llama.cpp": {1: 0.9, 8: 1.1, 32: 1.5}}
PREFILL_BARS = {"transformers": {"float32": 1.7, "bfloat16": 1.3}, "llama.cpp": {"float32": 2.0, "bfloat16": 2.0}}
DTYPES = ("float32", "bfloat16")
CASES = ("decode", "prefill", "prefix", "experts", "static", "continuous", "small")


def main() -> int:
    """Measure what is asked for, print it, and keep it where `--out` says."""
    options = parse()
    with tempfile.TemporaryDirectory() as made:
        folder = options.model or Path(made) / "mid"
        if not options.model:
            make_checkpoint([str(folder), *MID.split()])
        parts = [measure(folder, dtype, options, Path(made)) for dtype in options.dtypes]
    left_out = [f"{case} (--cases names it not)" for case in CASES if case not in options.cases]
    if not has_llama():
        left_out.append("llama.cpp (llama-cpp-python and gguf are not installed)")
    print(markdown(parts, left_out))
    if options.out:
        write(options.out, parts, left_out)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--dtypes", choices=DTYPES, nargs="+", default=DTYPES)
    parser.add_argument("--cases", choices=CASES, nargs="+", default=CASES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=16, help="tokens of each sequence in a round of decode")
    parser.add_argument("--prefill", type=int, default=2048, help="tokens of the long prompt")
    parser.add_argument("--requests", type=int, default=32, help="how many come at once for continuous batching")
    parser.add_argument("--model", type=Path, help="a folder made with the sizes of this benchmark, to save making it")
    parser.add_argument("--out", type=Path, help="folder for engine.md and engine.json")
    return parser.parse_args()


def has_llama() -> bool:
    """Whether llama.cpp can take part."""
    return find_spec("llama_cpp") is not None and find_spec("gguf") is not None


def measure(folder: Path, dtype: str, options: argparse.Namespace, made: Path) -> Part:
    """All rows of one number type."""
    pair = Pair(ours=OneProcess(folder, dtype), theirs=Peer(folder, dtype), rounds=options.rounds)
    peers: list[Decoder] = [pair.theirs]
    if has_llama() and {"decode", "prefill"}.intersection(options.cases):
        peers.append(llama_of(folder, dtype, made))
    hardware, rows = rates(dtype), list[Row]()
    # Each row is told as it comes: a run takes long, and may be cut off.
    with contextlib.redirect_stdout(sys.stderr):
        for case in options.cases:
            for row in rows_of(case, pair, peers, dtype, options, hardware["best product GFLOP/s"]):
                rows.append(row)
                print(dtype, row, flush=True)
    return Part(dtype=dtype, rates=hardware, rows=rows)


def llama_of(folder: Path, dtype: str, made: Path) -> Decoder:
    """llama.cpp with the same weights, written to the folder `made` in its own format."""
    from benchmarks.engine.gguf_file import write_gguf
    from benchmarks.engine.llama import Llama

    path = made / f"{dtype}.gguf"
    # In a process of its own: what it frees would be kept, and would count in nobody's figures.
    writing = get_context("spawn").Process(target=write_gguf, args=(folder, getattr(torch, dtype), path))
    writing.start()
    writing.join()
    if writing.exitcode != 0:
        raise RuntimeError(f"{path} could not be written")
    return Llama(path, read_family(folder).config.vocab)


def rows_of(
    case: str, pair: Pair, peers: Sequence[Decoder], dtype: str, options: argparse.Namespace, best: float
) -> Iterator[Row]:
    """The rows of one of CASES, one by one."""
    match case:
        case "decode":
            for peer in peers:
                for batch, bar in BARS[peer.name].items():
                    yield pair.decode(batch, options.steps, bar, peer)
        case "prefill":
            for peer in peers:
                yield pair.prefill(options.prefill, PREFILL_BARS[peer.name][dtype], peer)
        case "prefix":
            yield pair.prefix_hit(10)
        case "experts":
            flops = 6.0 * HIDDEN * FFN * CHOICES * LAYERS * options.prefill
            yield pair.experts(options.prefill, flops, best, 0.85)
        case "small":
            small = Pair(ours=OneProcess(SMALL, dtype), theirs=Peer(SMALL, dtype), rounds=options.rounds)
            row = small.decode(1, options.steps, 3, small.theirs)
            yield replace(row, what="decode of models/speaking, batch 1")
        case _:
            is_static = case == "static"
            yield pair.crowd(options.requests, 64, bar=1.5 if is_static else 4, is_static=is_static)


if __name__ == "__main__":
    sys.exit(main())
