"""What a rank process is told once, in its fork order: who it is, which model, which sizes, where it listens.
Plain JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from moe_api.stage import MoEStage
from moe_worker.protocol.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RankSettings:
    """`address` is the seat's "ip:port"; `engine` has the fields of protocol.settings.Settings, `shape` those of
    the resource.
    """

    deployment: str
    replica: int
    rank: int
    gpu: int
    pod_uid: str
    incarnation: int
    address: str
    secret_file: str
    model_path: str
    dtype: str
    shape: Mapping[str, int]
    engine: Mapping[str, Any]
    transport: str = "tcp"
    loads_every_seconds: float = 600.0

    @classmethod
    def for_seat(
        cls, stage: MoEStage, *, rank: int, gpu: int, pod_uid: str, incarnation: int, address: str, files: "RankFiles"
    ) -> "RankSettings":
        spec = stage.spec
        place = {
            "stage": spec.stage,
            "stages": spec.stages,
            "first_layer": spec.first_layer,
            "num_layers": spec.num_layers,
        }
        return cls(
            deployment=spec.deployment,
            replica=spec.replica,
            rank=rank,
            gpu=gpu,
            pod_uid=pod_uid,
            incarnation=incarnation,
            address=address,
            secret_file=files.secret,
            model_path=files.model,
            dtype=spec.model.dtype,
            shape=spec.model.shape.dump(),
            engine={**spec.engine.model_dump(exclude={"transport"}), **place},
            transport=spec.engine.transport,
            loads_every_seconds=spec.loads_every_seconds,
        )

    def settings(self) -> Settings:
        return Settings(**self.engine)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RankSettings":
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class RankFiles:
    """Where the pod has the key of the data path and the model's folder."""

    secret: str
    model: str
