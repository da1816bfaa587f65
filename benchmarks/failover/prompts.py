"""What the streams are asked, and what `transformers` says to it on the same checkpoint: kept, since it takes long."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from demo.checkpoint import cache_folder, prepare_checkpoint, read_example
from demo.reference import Reference
from demo.streams import Prompt
from demo.tour import SPEAKERS

ROOT = Path(__file__).resolve().parents[2]
BEGINNING = "In those days {} went up to"
MAX_TOKENS = 160


def make_prompts() -> list[Prompt]:
    """One for each of sixteen speakers: such text asks some experts four times as often as the mean."""
    return [Prompt(text=BEGINNING.format(name), max_tokens=MAX_TOKENS) for name in SPEAKERS]


def expected_tokens(example: Path, prompts: Sequence[Prompt]) -> list[list[int]]:
    """The right tokens of each prompt, from where an earlier run with the same checkpoint and prompts left them."""
    checkpoint = prepare_checkpoint(read_example(example)).folder
    file = cache_folder() / "expected" / f"{_key(checkpoint, prompts)}.json"
    if file.is_file():
        kept: list[list[int]] = json.loads(file.read_text())
        return kept
    reference = Reference.start(ROOT, checkpoint, prompts)
    try:
        found = reference.finish()
    finally:
        reference.stop()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    return found


def _key(checkpoint: Path, prompts: Sequence[Prompt]) -> str:
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(checkpoint.iterdir())]
    return hashlib.sha256(json.dumps([files, [asdict(prompt) for prompt in prompts]]).encode()).hexdigest()[:16]
