import warnings

import pytest
import torch

from moe_wire.messages import DType, Payload
from moe_worker.device.rows import host_payloads, host_tensor


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_payloads_are_slices_of_the_tensor_and_come_back_joined(dtype: torch.dtype) -> None:
    rows = torch.randn(7, 5).to(dtype)
    payloads = host_payloads(rows, [3, 1, 2])
    assert [payload.shape for payload in payloads] == [(3, 5), (1, 5), (2, 5)]
    back = host_tensor(payloads, 4)
    assert back.dtype is dtype
    assert torch.equal(back, rows[:6])


def test_few_rows_are_filled_up_with_zeros() -> None:
    back = host_tensor(host_payloads(torch.ones(1, 3), [1]), 4)
    assert back.tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_a_payload_that_is_large_enough_is_not_copied() -> None:
    memory = bytearray(4 * 2 * 4)
    back = host_tensor([Payload(DType.FLOAT32, (4, 2), memoryview(memory))], 4)
    memory[:4] = b"\0\0\x80?"
    assert back[0, 0] == 1


def test_bytes_that_may_not_be_written_are_taken_too() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = host_tensor([Payload(DType.FLOAT32, (4, 1), b"\0\0\x80?" * 4)], 4)
    assert back.sum() == 4


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 2)), (3, (3, 2))])
def test_one_payload_has_the_rows_asked_for_and_no_padding(count: int, shape: tuple[int, int]) -> None:
    [payload] = host_payloads(torch.arange(6.0).view(3, 2), [count])
    assert payload.shape == shape
    assert payload.data == torch.arange(2.0 * count).numpy().tobytes()
