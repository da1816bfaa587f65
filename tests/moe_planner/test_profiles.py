from __future__ import annotations

import pytest

from moe_planner.errors import PlanError
from moe_planner.inputs import Link
from moe_planner.profiles import NAMES, Profile, hardware


def flops(profile: Profile, dtype: str) -> float:
    return dict(profile.gpu.flops)[dtype]


def test_the_data_sheets_dense_figures() -> None:
    h100 = hardware("h100-sxm")
    assert (flops(h100, "bfloat16"), flops(h100, "float8")) == (989.4e12, 1978.9e12)
    assert (h100.memory_bytes, h100.gpu.memory_bandwidth) == (80 * 10**9, 3.35e12)
    assert (h100.inside.bandwidth, h100.between.bandwidth) == (450e9, 50e9)
    assert "float8" not in dict(hardware("a100-80g").gpu.flops)


def test_the_document_has_its_own_gpu() -> None:
    document = hardware("document")
    assert document.memory_bytes == 64 * 10**9
    assert document.gpu.flops == (("float16", 400e12),)
    assert document.gpu.memory_bandwidth == 1.8e12
    assert document.inside == document.between == Link(bandwidth=50e9, latency=10e-6)
    assert document.hardware(32).num_gpus == 256


def test_names_are_read_in_capitals_and_short() -> None:
    assert hardware(" H200 ").name == "h200"
    assert hardware("a100") is hardware("a100-80g")
    assert hardware("H100") is hardware("h100-sxm")


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_is_sane(name: str) -> None:
    profile = hardware(name)
    assert profile.name == name
    assert 1e12 < profile.gpu.memory_bandwidth * 2 < 20e12
    assert profile.inside.bandwidth >= profile.between.bandwidth
    made = profile.hardware(("a", "b"), 4)
    assert (made.num_gpus, made.gpu_memory_bytes, made.gpu) == (8, profile.memory_bytes, profile.gpu)


@pytest.mark.parametrize("name", ["v100", "", None, 7])
def test_an_unknown_name_is_answered_with_all_of_them(name: str) -> None:
    with pytest.raises(PlanError) as caught:
        hardware(name)
    assert caught.value.field == "hardware.profile"
    assert all(known in caught.value.rule for known in NAMES)
