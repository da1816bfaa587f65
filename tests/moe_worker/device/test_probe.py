from moe_worker.device.cpu import CpuDevice
from moe_worker.device.probe import Probe


def test_a_probe_tells_the_least_time_of_its_tries() -> None:
    times = iter([0.0, 4.0, 10.0, 11.0, 20.0, 22.0])
    assert Probe(CpuDevice(None), lambda: next(times))() == 1.0
