"""What numbers a checkpoint stores: the plain type of its config.json, and the packed formats of experts and matrices.

Knows the formats' bits with their scales, and not which kernels can compute with them.
"""

from dataclasses import replace

from moe_planner.errors import PlanError
from moe_planner.fields import Fields
from moe_planner.limits import shown
from moe_planner.model import ModelShape

BYTES_OF_DTYPE = {"float32": 4, "bfloat16": 2, "float16": 2}
_DTYPES = ", ".join(BYTES_OF_DTYPE)
_REMEDY = "give the dtype that the weights are held in"

# MXFP4: 4 bits a number, and 8 for the scale that a block of 32 shares (OCP Microscaling Formats 1.0).
_MXFP4_BITS = 4 + 8 / 32
# FP8 in blocks (DeepSeek-V3): 8 bits a number, and a float32 scale for each block.
_FP8_BITS, _FP8_SCALE_BITS = 8, 32


def with_dtypes(shape: ModelShape, places: tuple[Fields, ...], dtype: str | None) -> ModelShape:
    """The shape with the bits of its numbers: as `dtype` says, else as the config does in the first of the places."""
    if dtype is not None:
        return replace(shape, bytes_per_number=bytes_of_dtype(dtype, "model.dtype"))
    shape = _with_packed(shape, places)
    place = next((place for place in places if place.has("dtype") or place.has("torch_dtype")), None)
    if place is None:
        reason = "config.json names no dtype; bfloat16 is usual"
        return replace(shape, assumed=(*shape.assumed, ("bytes_per_number", reason)))
    key = "dtype" if place.has("dtype") else "torch_dtype"
    return replace(shape, bytes_per_number=bytes_of_dtype(place.text(key), f"{place.path}.{key}"))


def bytes_of_dtype(dtype: str, field: str) -> int:
    """Bytes of a number; raises PlanError naming the field where the type is none of those known."""
    found = BYTES_OF_DTYPE.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else None
    if found is None:
        raise PlanError(field, shown(dtype), f"must be one of {_DTYPES}", _REMEDY)
    return found


def _with_packed(shape: ModelShape, places: tuple[Fields, ...]) -> ModelShape:
    place = next((place for place in places if place.has("quantization_config")), None)
    if place is None:
        return shape
    packing = place.part("quantization_config")
    method = packing.text("quant_method")
    if method == "mxfp4":
        return replace(shape, expert_bits=_MXFP4_BITS)
    if method == "fp8":
        return replace(shape, expert_bits=(bits := _fp8_bits(packing)), projection_bits=bits)
    raise packing.error("quant_method", "the planner knows mxfp4 and fp8", _REMEDY)


def _fp8_bits(packing: Fields) -> float:
    block = packing.items("weight_block_size")
    if not block:
        return _FP8_BITS
    if len(block) != 2 or not all(isinstance(side, int) and 1 <= side <= 1 << 20 for side in block):
        raise packing.error("weight_block_size", "must be two sizes of a block, rows and columns", _REMEDY)
    rows, columns = (side for side in block if isinstance(side, int))
    return _FP8_BITS + _FP8_SCALE_BITS / (rows * columns)
