"""Which families there are, by config.json's model_type. The only place that names them."""

from collections.abc import Mapping
from pathlib import Path

from moe_worker.model.config_file import ConfigFile
from moe_worker.model.errors import CheckpointError
from moe_worker.model.families.deepseek_v2 import DeepseekV2
from moe_worker.model.families.gpt_oss import GptOss
from moe_worker.model.families.mixtral import Mixtral
from moe_worker.model.families.olmoe import Olmoe
from moe_worker.model.families.qwen2_moe import Qwen2Moe
from moe_worker.model.families.qwen3_moe import Qwen3Moe
from moe_worker.model.family import Family

FAMILIES: Mapping[str, type[Family]] = {
    "qwen3_moe": Qwen3Moe,
    "mixtral": Mixtral,
    "olmoe": Olmoe,
    "qwen2_moe": Qwen2Moe,
    "gpt_oss": GptOss,
    "deepseek_v2": DeepseekV2,
}


def read_family(folder: Path) -> Family:
    """Reads `folder`/config.json; raises CheckpointError when it is missing, broken, or of an unsupported model."""
    file = ConfigFile(folder)
    file.open()
    family = FAMILIES.get(str(file.family))
    if family is None:
        raise CheckpointError(
            f"{folder}/config.json has model_type {file.family!r}",
            f"this worker runs {', '.join(FAMILIES)}",
            "point spec.model.source.path at a checkpoint of a supported family",
        )
    file.check_packing(family.packings)
    return family.read(file)
