import torch

from moe_worker.kernels.memory import HUGE_PAGE, read_often


def resident() -> int:
    """Bytes of this process's anonymous memory."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Anonymous:"))


def test_a_tensor_takes_no_more_memory_than_it_has_numbers() -> None:
    before = resident()
    tensor = read_often(3 * HUGE_PAGE // 8, torch.float32)
    tensor.fill_(1.0)
    assert tensor.nbytes == 3 * HUGE_PAGE // 2
    assert resident() - before < 1.1 * tensor.nbytes
    assert tensor.data_ptr() % HUGE_PAGE == 0


def test_its_memory_goes_with_it() -> None:
    before = resident()
    for _ in range(20):
        read_often(2 * HUGE_PAGE, torch.float32).fill_(1.0)
    assert resident() - before < 4 * HUGE_PAGE


def test_a_small_one_shares_pages_with_others() -> None:
    assert read_often(10, torch.bfloat16).shape == (10,)
