import torch

from moe_worker.model.indices import index_tensor


def test_numbers_keep_their_order_and_lie_in_memory_of_their_own() -> None:
    numbers = [3, 0, 2**40]
    indices = index_tensor(numbers, torch.device("cpu"))
    numbers[0] = 7
    assert indices.dtype is torch.int64
    assert indices.tolist() == [3, 0, 2**40]
