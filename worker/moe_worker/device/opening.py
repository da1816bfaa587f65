"""Which device a rank drives, from its place in the pod and the environment that the device plugin made."""

from collections.abc import Mapping
from pathlib import Path

import torch

from moe_worker.device.base import Device, DeviceError
from moe_worker.device.cpu import CpuDevice
from moe_worker.device.cuda import CudaDevice
from moe_worker.device.health import HealthFile

CPU_DEVICES = "MOE_CPU_DEVICES"


def find_device(index: int, environ: Mapping[str, str]) -> Device:
    """GPU `index` of this pod (LOCAL_RANK), not opened yet: a CPU device where any are listed, else CUDA's, else the
    plain CPU. Raises DeviceError when the pod has no such GPU.
    """
    if environ.get(CPU_DEVICES):
        return CpuDevice(HealthFile(_health_file(index, environ[CPU_DEVICES])))
    return CudaDevice(index) if torch.cuda.is_available() else CpuDevice(None)


def open_device(index: int, environ: Mapping[str, str]) -> Device:
    """The same, opened. Raises DeviceError when the device is broken, missing, or driven by another process."""
    device = find_device(index, environ)
    device.open()
    return device


def _health_file(index: int, listed: str) -> Path:
    paths = listed.split(",")
    if index >= len(paths):
        raise DeviceError(f"GPU {index} is wanted, but {CPU_DEVICES} lists {len(paths)}: give the pod more GPUs")
    return Path(paths[index])
