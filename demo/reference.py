"""What `transformers` says on the same checkpoint: `python -m demo.reference FOLDER < prompts.json > tokens.json`.

A process of its own, so that nothing but the checkpoint is shared with what is judged.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.streams import Prompt


def main() -> None:
    """Read prompts, write one list of token ids for each."""
    prompts = [Prompt(**one) for one in json.load(sys.stdin)]
    json.dump(generate(Path(sys.argv[1]), prompts), sys.stdout)


def generate(folder: Path, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Greedy tokens of each prompt alone, up to and with a stop token, in the checkpoint's float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    answers = []
    for prompt in prompts:
        ids = tokenizer(prompt.text, return_tensors="pt").input_ids
        with torch.inference_mode():
            output = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=prompt.max_tokens
            )
        answers.append(output[0, ids.shape[1] :].tolist())
    return answers


if __name__ == "__main__":
    main()
