"""Prints the bits of many products, in a process of its own: which vectors are used is decided once."""

import hashlib

import torch

from moe_worker.kernels.product import pack
from tests.moe_worker.kernels.test_product import COUNTS, SHAPES, TYPES

torch.manual_seed(1)
for dtype in TYPES:
    for outs, width in SHAPES:
        packed = pack(torch.randn(outs, width).to(dtype), torch.randn(outs).to(dtype))
        x = torch.randn(300, width).to(dtype)
        for rows in COUNTS:
            told = packed.product(x[:rows]).view(torch.uint8).numpy().tobytes()
            print(dtype, outs, width, rows, hashlib.sha256(told).hexdigest())
