"""The model's own tokenizer: a byte-level BPE of 2,048 tokens, learned from the training chapters alone."""

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 2048
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTINUE = "{{ messages | map(attribute='content') | join('\n') }}"
"""The chat template: the model knows no roles, so it goes on with what was said last."""


def learn_vocabulary(chapters: Sequence[str]) -> PreTrainedTokenizerFast:
    """Same chapters, same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(chapters, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers types it not
        tokenizer_object=tokenizer, bos_token=PAD, eos_token=END, pad_token=PAD, chat_template=CONTINUE
    )


def encode(tokenizer: PreTrainedTokenizerFast, chapters: Iterable[str]) -> torch.Tensor:
    """All chapters as one run of tokens, each closed by the stop token."""
    tokens: list[int] = []
    for chapter in chapters:
        tokens += [*tokenizer(chapter).input_ids, tokenizer.eos_token_id]
    return torch.tensor(tokens)
