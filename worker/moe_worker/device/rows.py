"""Payloads <-> tensors in host memory. Knows how the bytes of a row-major array lie, and nothing of devices."""

from collections.abc import Sequence

import torch

from moe_wire.messages import DType, Payload

TORCH_DTYPES = {
    DType.FLOAT32: torch.float32,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT16: torch.float16,
    DType.INT64: torch.int64,
}
WIRE_DTYPES = {dtype: code for code, dtype in TORCH_DTYPES.items()}


def host_tensor(payloads: Sequence[Payload], min_rows: int) -> torch.Tensor:
    """The payloads' rows as one host tensor [max(rows, min_rows), width]: a view of one payload, else a copy."""
    first = payloads[0]
    dtype, (num_rows, width) = TORCH_DTYPES[first.dtype], first.shape
    if len(payloads) == 1 and num_rows >= min_rows and not memoryview(first.data).readonly:
        return torch.frombuffer(first.data, dtype=dtype).view(num_rows, width)
    joined = bytearray().join([payload.data for payload in payloads])
    if num_rows < min_rows:
        joined += bytes(max(min_rows * width * dtype.itemsize - len(joined), 0))
    return torch.frombuffer(joined, dtype=dtype).view(-1, width)


def host_payloads(rows: torch.Tensor, counts: Sequence[int]) -> list[Payload]:
    """A contiguous host tensor [rows, width] cut into payloads that share its memory and keep it alive."""
    # numpy has no bfloat16, so the bytes are shown as integers.
    numbers = rows.view(torch.int16) if rows.dtype is torch.bfloat16 else rows
    data = numbers.numpy().data.cast("B")
    code, (num_rows, width) = WIRE_DTYPES[rows.dtype], rows.shape
    # Decoding asks for all rows at once, thousands of times a second.
    if len(counts) == 1 and counts[0] == num_rows:
        return [Payload(code, (num_rows, width), data)]
    payloads, end, row_bytes = [], 0, width * rows.itemsize
    for count in counts:
        start, end = end, end + count * row_bytes
        payloads.append(Payload(code, (count, width), data[start:end]))
    return payloads
