"""The model's shape, and its weights before the first step: a plain Qwen3-MoE of `transformers`."""

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

INITIAL_DEVIATION = 0.05
POSITIONS = 4096


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen3MoeConfig:
    """3.5 million weights, 7.0 MB in bfloat16: most of them are the 16 x 16 experts'."""
    return Qwen3MoeConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        moe_intermediate_size=64,
        num_hidden_layers=16,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,  # type: ignore[call-arg]  # read from its keyword arguments
        num_experts=16,
        num_experts_per_tok=2,
        norm_topk_prob=True,
        max_position_embeddings=POSITIONS,
        initializer_range=INITIAL_DEVIATION,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3MoeForCausalLM:
    """Random weights. Its experts are computed one by one over the tokens that chose them: fastest on a CPU."""
    torch.manual_seed(seed)
    config = make_config(tokenizer)
    config._experts_implementation = "grouped_mm"
    model = Qwen3MoeForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers types it not
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model
