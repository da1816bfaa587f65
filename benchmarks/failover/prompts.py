"""What the streams are asked, and what `transformers` says to it on the same checkpoint: kept, since it takes long."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from demo.checkpoint import prepare_checkpoint, read_example
from demo.reference import Reference
from demo.streams import Prompt
from demo.tour import SPEAKERS

ROOT = Path(__file__).resolve().parents[2]
BEGINNING = "In those days {} went up to"
MAX_TOKENS = 160


def make_prompts() -> list[Prompt]:
    """One for each of sixteen speakers: such text asks some experts four times as often as the mean."""
    return [Prompt(text=BEGINNING.format(name), max_tokens=MAX_TOKENS) for name in SPEAKERS]


def expected_tokens(example: Path, prompts: Sequence[Prompt], file: Path) -> list[list[int]]:
    """The right tokens of each prompt, from `file` where an earlier run of the same prompts left them."""
    asked = [asdict(prompt) for prompt in prompts]
    if file.is_file():
        kept = json.loads(file.read_text())
        if kept["prompts"] == asked:
            tokens: list[list[int]] = kept["tokens"]
            return tokens
    reference = Reference.start(ROOT, prepare_checkpoint(read_example(example)).folder, prompts)
    try:
        found = reference.finish()
    finally:
        reference.stop()
    file.write_text(json.dumps({"prompts": asked, "tokens": found}))
    return found
