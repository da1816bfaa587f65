"""Makes a small random checkpoint of any family with a tokenizer, in Hugging Face format.

For demos, tests and benchmarks; needs transformers, which the worker itself does not. Same options, same bytes.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from moe_worker.checkpoint_configs import FAMILIES, make_config

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MIN_VOCAB = 260  # one token for each byte, and the special ones
MADE_WITH = "made_with.json"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = """\
The operator watches what is there, works out what should be, and does the next thing that brings the two together. A
model with many experts sends every token to the few that know most about it; the others rest. Each expert lives on
one device, and when a device dies its expert moves to another one while all the rest stays where it was. Nothing that
was said is taken back: tokens that have been streamed are facts, and whoever continues the sentence continues it from
there. How many layers are there? There are sixteen layers, sixteen experts in each, and two of them are chosen for
every token. Why does the answer not change? Because every sum is taken in the same order, whoever computes it and
whatever else is computed beside it. Once upon a time there was a small cluster with thirty-two nodes and eight
devices in each node. On Monday one of them failed at 10:45, on Tuesday two others at 23:17; on Wednesday nobody
noticed. The quick brown fox jumps over the lazy dog, and the dog does not mind at all. Hello, how are you today? I am
well, thank you. What is the capital of France? The capital of France is Paris. Tell me a story about a ship that
crosses the sea, the captain who reads the stars, and the island which no map has ever shown. 1, 2, 3, 4, 5, 6, 7, 8,
9, 10. Write a function that adds two numbers: def add(a, b): return a + b. It should work for all whole numbers.
"""


def train_tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of exactly `vocab` tokens; those that the text does not yield are fillers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=[PAD, START, END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    tokenizer.add_tokens([f"<|unused_{i}|>" for i in range(vocab - tokenizer.get_vocab_size())])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers types it not
        tokenizer_object=tokenizer, bos_token=PAD, eos_token=END, pad_token=PAD, chat_template=TEMPLATE
    )


def make_model(options: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Random weights, norms and biases included. Tokens that are no text alone get a zero output row: rarely chosen."""
    special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        # In float32 whatever is asked for, so that every number type has the same weights.
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            make_config(options, special), dtype=torch.float32
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.uniform_(0.75, 1.25)
                elif name.endswith("bias"):
                    parameter.uniform_(-0.5, 0.5)
            for token in range(options.vocab):
                if not is_text(tokenizer, token):
                    model.lm_head.weight[token] = 0
    model.generation_config = GenerationConfig(**special)  # type: ignore[no-untyped-call]  # transformers types it not
    return cast(PreTrainedModel, model.to(getattr(torch, options.dtype)))


def is_text(tokenizer: PreTrainedTokenizerFast, token: int) -> bool:
    """Whether a token stands for whole printable ASCII characters."""
    text = str(tokenizer.decode([token], skip_special_tokens=True))
    return bool(text) and text.isascii() and text.isprintable() and not text.startswith("<|unused")


def write_checkpoint(options: argparse.Namespace) -> None:
    """Writes the folder whole or not at all: into a folder beside it that is renamed at the end."""
    target = Path(options.folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-", ignore_cleanup_errors=True) as made:
        folder = Path(made) / target.name
        tokenizer = train_tokenizer(options.vocab)
        model = make_model(options, tokenizer)
        size = sum(parameter.nbytes for parameter in model.parameters())
        model.save_pretrained(folder, max_shard_size=max(size // options.shards, 1))
        tokenizer.save_pretrained(folder)
        (folder / MADE_WITH).write_text(json.dumps(settings_of(options), indent=1) + "\n")
        for file in folder.iterdir():
            file.chmod(0o644)
        folder.rename(target)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options that decide the content."""
    return {key: value for key, value in vars(options).items() if key != "folder"}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="moe_worker.make_checkpoint", description=__doc__)
    parser.add_argument(
        "folder", help="where the checkpoint is put; must not exist, or hold one made with the same options"
    )
    parser.add_argument("--family", choices=FAMILIES, default="qwen3_moe", help="default qwen3_moe")
    sizes = {
        "layers": 16,
        "experts": 16,
        "experts-per-token": 2,
        "hidden": 64,
        "heads": 4,
        "kv-heads": 2,
        "head-dim": 16,
    }
    sizes |= {"ffn": 32, "vocab": 512, "max-positions": 4096, "shards": 4, "seed": 0}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument(
        "--initializer-range", type=float, default=0.2, help="standard deviation of the weights, default 0.2"
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    options = parser.parse_args(arguments)
    if options.vocab < MIN_VOCAB:
        parser.error(f"--vocab {options.vocab}: a byte-level vocabulary needs at least {MIN_VOCAB} tokens")
    if options.heads % options.kv_heads or options.experts_per_token > options.experts:
        parser.error("--kv-heads must divide --heads, and --experts-per-token be at most --experts")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Makes the checkpoint; does nothing when it is there already."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    target = Path(options.folder)
    if target.exists():
        made_with = target / MADE_WITH
        if made_with.is_file() and json.loads(made_with.read_text()) == settings_of(options):
            print(f"{target}: already made with these options")
            return 0
        print(
            f"{target}: exists and was not made with these options; remove it or name another folder", file=sys.stderr
        )
        return 1
    write_checkpoint(options)
    print(f"{target}: {options.family}, {options.layers} layers x {options.experts} experts, seed {options.seed}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
