"""What `transformers` says on the same checkpoint: `python -m demo.reference FOLDER < prompts.json > tokens.json`.

A process of its own, so that nothing but the checkpoint is shared with what is judged, and beside the rest.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo.cluster import CommandError
from demo.streams import Prompt

NICENESS = 5
SECONDS = 240.0


class Reference:
    """The process that generates while the cluster comes up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    def start(cls, root: Path, folder: Path, prompts: Sequence[Prompt]) -> "Reference":
        """Begin to generate for `prompts` from the checkpoint in `folder`; `root` is the repository."""
        command = ["nice", f"-n{NICENESS}", sys.executable, "-m", "demo.reference", str(folder)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert process.stdin is not None
        with process.stdin as stdin:
            json.dump([asdict(prompt) for prompt in prompts], stdin)
        process.stdin = None
        return cls(process)

    def finish(self) -> list[list[int]]:
        """Wait for the tokens of every prompt."""
        printed, errors = self._process.communicate(timeout=SECONDS)
        if self._process.returncode != 0:
            raise CommandError(f"transformers failed on the checkpoint:\n{errors}")
        answers: list[list[int]] = json.loads(printed)
        return answers

    def stop(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def main() -> None:
    """Read prompts, write one list of token ids for each."""
    prompts = [Prompt(**one) for one in json.load(sys.stdin)]
    json.dump(generate(Path(sys.argv[1]), prompts), sys.stdout)


def generate(folder: Path, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Greedy tokens of each prompt alone, up to and with a stop token, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    return [_continue(model, tokenizer(prompt.text, return_tensors="pt"), prompt.max_tokens) for prompt in prompts]


def _continue(model: Any, inputs: Any, max_tokens: int) -> list[int]:
    output = model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens)
    tokens: list[int] = output[0, inputs["input_ids"].shape[1] :].tolist()
    return tokens


if __name__ == "__main__":
    main()
