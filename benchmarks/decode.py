"""`python -m benchmarks.decode`: one process with everything against `transformers`, same weights, one thread, one run.

Decode of several batch sizes and prefill of a long prompt. The two take turns in each round, so that what else the
machine does meets both, and what counts is the thread's CPU time: its share of a busy machine is left out.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, DynamicCache

from benchmarks.one_process import OneProcess
from moe_worker.make_checkpoint import main as make_checkpoint

MID = "--layers 16 --experts 16 --hidden 512 --heads 8 --kv-heads 8 --head-dim 64 --ffn 1024 --vocab 4096"
SMALL = "--layers 16 --experts 16"
MODELS = {"mid": f"{MID} --initializer-range 0.05", "small": SMALL}
PROMPT = 64
Timed = Callable[[], float]


def main() -> int:
    """Print a row for each measurement."""
    options = parse()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / options.model
        make_checkpoint([str(folder), *MODELS[options.model].split(), "--family", options.family])
        measure(folder, options)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode", description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="mid")
    parser.add_argument("--family", default="qwen3_moe")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, default=16, help="tokens of each sequence in a round")
    parser.add_argument("--prefill", type=int, default=2048, help="tokens of the long prompt; 0: no prefill")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Tokens a second: medians over the rounds, the spread in brackets, and the ratio of the medians."""
    ours = OneProcess(folder, options.dtype)
    dtype = getattr(torch, options.dtype)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    theirs.set_experts_implementation("grouped_mm")
    table = Table(
        "tokens/s", "ours", "transformers", "ratio", title=f"{options.family} {options.model} {options.dtype}"
    )
    with torch.inference_mode():
        for batch in options.batches:
            pair = (ours_decoding(ours, batch, options.steps), theirs_decoding(theirs, batch, options.steps))
            table.add_row(f"decode, batch {batch}", *compared(pair, batch * options.steps, options.rounds))
        if options.prefill:
            text = prompt(options.prefill, 0)
            pair = (lambda: ours_prefill(ours, text), lambda: theirs_prefill(theirs, text))
            table.add_row(f"prefill of {options.prefill}", *compared(pair, options.prefill, options.rounds))
    Console(width=100).print(table)


def compared(pair: tuple[Timed, Timed], tokens: int, rounds: int) -> list[str]:
    """The two measured in turns, once before it counts."""
    found = [[tokens / timed() for timed in pair] for _ in range(rounds + 1)][1:]
    rates = list(zip(*found, strict=True))
    medians = [statistics.median(rate) for rate in rates]
    cells = [f"{median:.0f} ({min(rate):.0f}-{max(rate):.0f})" for median, rate in zip(medians, rates, strict=True)]
    return [*cells, f"{medians[0] / medians[1]:.2f}"]


def prompt(length: int, number: int) -> list[int]:
    return random.Random(number).choices(range(3, 250), k=length)


def ours_decoding(ours: OneProcess, batch: int, steps: int) -> Timed:
    """Seconds of the steps after a prefill that is not counted."""

    def timed() -> float:
        running = [ours.begin(prompt(PROMPT, number)) for number in range(batch)]
        began = time.thread_time()
        for _ in range(steps):
            ours.step(running)
        took = time.thread_time() - began
        ours.end(running)
        return took

    return timed


def theirs_decoding(theirs: Any, batch: int, steps: int) -> Timed:
    def timed() -> float:
        ids = torch.tensor([prompt(PROMPT, number) for number in range(batch)])
        cache = DynamicCache(config=theirs.config)
        tokens = theirs(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits.argmax(-1)
        began = time.thread_time()
        for _ in range(steps):
            tokens = theirs(tokens, past_key_values=cache, use_cache=True).logits.argmax(-1)
        return time.thread_time() - began

    return timed


def ours_prefill(ours: OneProcess, text: Sequence[int]) -> float:
    began = time.thread_time()
    running = ours.begin(text)
    took = time.thread_time() - began
    ours.end([running])
    return took


def theirs_prefill(theirs: Any, text: Sequence[int]) -> float:
    began = time.thread_time()
    theirs(torch.tensor([text]), use_cache=True, logits_to_keep=1).logits.argmax(-1).item()
    return time.thread_time() - began


if __name__ == "__main__":
    sys.exit(main())
