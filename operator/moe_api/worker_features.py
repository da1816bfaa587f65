"""What the worker of this release can run, as plain data: the operator refuses the rest in a condition that names it.

A test of the worker holds FAMILIES and DTYPES equal to what it implements. Nothing here needs torch.
"""

FAMILIES: tuple[str, ...] = ("qwen3_moe", "mixtral", "olmoe", "qwen2_moe", "gpt_oss", "deepseek_v2")
"""Values of config.json's model_type."""

DTYPES: tuple[str, ...] = ("float32", "bfloat16", "float16")
"""Number types in which weights are held and computed with."""

TENSOR_SIZES: tuple[int, ...] = (1,)
SEQUENCE_SIZES: tuple[int, ...] = (1,)
