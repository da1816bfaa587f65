"""The compiled library: whether it is there and runs on this CPU, and its functions by the type of the numbers."""

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch

PATH = Path(__file__).with_name("libkernels.so")
SUFFIXES = {torch.float32: "f32", torch.bfloat16: "bf16"}
"""The types of numbers that there are kernels for."""
ADDRESS, NUMBER, FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float

Kernel = Callable[..., None]


@cache
def library() -> ctypes.CDLL | None:
    """None where it was not compiled, or the CPU lacks its instructions (AVX2 and FMA)."""
    if not PATH.is_file():
        return None
    loaded = ctypes.CDLL(str(PATH))
    return loaded if loaded.moe_runs_here() else None


def has_kernels(dtype: torch.dtype) -> bool:
    """Whether tensors of that type in this machine's memory have kernels."""
    return dtype in SUFFIXES and library() is not None


def kernels(
    name: str, *types: type[ctypes.c_void_p] | type[ctypes.c_long] | type[ctypes.c_float]
) -> Mapping[torch.dtype, Kernel]:
    """The function of that name for each type of numbers, with its arguments' types; empty where `library` is None."""
    loaded, found = library(), {}
    for dtype, suffix in SUFFIXES.items() if loaded else ():
        try:
            function = getattr(loaded, f"{name}_{suffix}")
        except AttributeError as error:
            raise RuntimeError(
                f"{PATH} is older than its sources ({error}); run `make setup`, or install again"
            ) from error
        function.argtypes, function.restype = types, None
        found[dtype] = function
    return found
