"""Which device a rank drives, from its place in the pod and the environment that the device plugin made."""

from collections.abc import Mapping
from pathlib import Path

import torch

from moe_worker.device.base import Device, DeviceError
from moe_worker.device.cpu import CpuDevice
from moe_worker.device.cuda import CudaDevice
from moe_worker.device.health import HealthFile

CPU_DEVICES = "MOE_CPU_DEVICES"


def open_device(index: int, environ: Mapping[str, str]) -> Device:
    """Opens GPU `index` of this pod (LOCAL_RANK): a CPU device where any are listed, else CUDA's, else the plain CPU.

    Raises DeviceError when the device is broken, missing, or driven by another process.
    """
    device: CpuDevice | CudaDevice
    if environ.get(CPU_DEVICES):
        device = CpuDevice(HealthFile(_health_file(index, environ[CPU_DEVICES])))
    elif torch.cuda.is_available():
        device = CudaDevice(index)
    else:
        device = CpuDevice(None)
    device.open()
    return device


def _health_file(index: int, listed: str) -> Path:
    paths = listed.split(",")
    if index >= len(paths):
        raise DeviceError(f"GPU {index} is wanted, but {CPU_DEVICES} lists {len(paths)}: give the pod more GPUs")
    return Path(paths[index])
