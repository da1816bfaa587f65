from pathlib import Path

import pytest
import torch

from moe_worker.device.base import DeviceError
from moe_worker.device.opening import find_device, open_device


def test_the_listed_health_file_is_the_device(tmp_path: Path) -> None:
    files = [tmp_path / "node-3" / "gpus" / "0", tmp_path / "node-3" / "gpus" / "1"]
    files[0].parent.mkdir(parents=True)
    files[0].write_text("failed: burnt")
    files[1].write_text("healthy")
    environ = {"MOE_CPU_DEVICES": ",".join(map(str, files))}
    with pytest.raises(DeviceError, match="burnt"):
        open_device(0, environ)
    device = open_device(1, environ)
    assert device.name == f"cpu device {files[1]}"
    assert (device.id, find_device(0, environ).id) == ("node-3/1", "node-3/0")
    device.check()
    device.close()
    with pytest.raises(DeviceError, match="GPU 2 is wanted, but MOE_CPU_DEVICES lists 2"):
        open_device(2, environ)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_any_device_it_is_the_plain_cpu() -> None:
    device = open_device(5, {})
    assert (device.name, device.id) == ("cpu", "")
    device.check()
    device.close()
