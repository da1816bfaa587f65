from __future__ import annotations

from moe_api.deployment import MoEDeployment
from moe_api.report import GpuHealth, Report, SeatReport
from moe_api.stage import MoEStage, RankSpec, RankStatus
from tests.moe_api.objects import raw, stage


def test_what_is_read_is_written_again() -> None:
    one = MoEDeployment.load(raw("reference"))
    assert MoEDeployment.load(one.dump()) == one
    assert one.dump()["spec"]["hardware"] == {
        "nodes": 32,
        "gpusPerNode": 8,
        "gpuMemory": "64Gi",
        "resourceName": "nvidia.com/gpu",
        "nodeSelector": {},
        "tolerations": [],
    }


def test_defaults_are_the_documented_ones() -> None:
    spec = MoEDeployment.load(raw()).spec
    assert spec.engine.dump() == {
        "blockSize": 16,
        "blocksPerLane": 256,
        "lanesPerRank": 3,
        "maxStepTokens": 256,
        "maxWaiting": 256,
        "maxStepsInFlight": 4,
        "maxSequenceLength": 2048,
        "logRequests": False,
        "transport": "tcp",
    }
    assert spec.failover.dump() == {
        "holdSeconds": 30,
        "heartbeatSeconds": 2,
        "restartBudget": 3,
        "evacuate": [],
        "drainSeconds": 10,
        "loadsAtOnce": 4,
        "quarantineSeconds": 10,
        "cleared": [],
        "breakerShare": 0.5,
        "slowFactor": 5,
    }
    degrees = dict.fromkeys(("expert", "pipeline", "tensor", "sequence", "data"), "auto")
    assert spec.parallelism.dump() == degrees | {"objective": "balance"}
    assert spec.experts.dump() == {"copies": 1, "spareCopies": 0, "survive": "nothing"}
    assert spec.workload.expert_load.dump() == {"kind": "uniform", "exponent": 1}


def test_uids_are_written_as_kubernetes_writes_them() -> None:
    assert RankSpec(rank=1, pod="p", pod_uid="u", gpu=0).dump()["podUID"] == "u"
    assert RankStatus.load({"rank": 1, "podUID": "u"}).pod_uid == "u"


def test_unknown_metadata_passes_through() -> None:
    values = {"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}, "spec": stage().dump()}
    assert MoEStage.load(values).dump()["metadata"]["managedFields"] == [{"manager": "x"}]


def test_served_name_defaults_to_the_objects() -> None:
    values = raw()
    del values["spec"]["model"]["name"]
    assert MoEDeployment.load(values).served_name == "small"


def test_a_report_goes_through_its_annotation() -> None:
    seat = SeatReport(rank=3, incarnation=2, address="10.0.0.1:7000", gpu=GpuHealth(index=3), experts=[3])
    report = Report(epoch=4, seats=[seat])
    assert Report.from_json(report.to_json()) == report
    assert report.seat(3) == seat
    assert report.seat(4) is None
