"""The loads of a stage as the operator remembers them: the JSON in the stage's `moe-operator.dev/loads` annotation."""

from pydantic import Field, ValidationError

from moe_api import names
from moe_api.base import ApiModel
from moe_api.stage import MoEStage


class RankCounts(ApiModel):
    """The tokens that a process counted for each expert until its last report."""

    incarnation: int = 0
    tokens: dict[int, int] = Field(default_factory=dict)


class CountedLoads(ApiModel):
    """`tokens` of each expert, what was counted before the last reports weighing half; `seen` is by rank.

    `at` is when the last reports were taken in, "" when none ever were.
    """

    at: str = ""
    tokens: dict[int, float] = Field(default_factory=dict)
    seen: dict[int, RankCounts] = Field(default_factory=dict)

    def to_note(self) -> dict[str, str]:
        """As the annotation of a stage."""
        return {names.ANNOTATION_LOADS: self.model_dump_json(by_alias=True)}

    @classmethod
    def of(cls, stage: MoEStage) -> "CountedLoads":
        """The stage's; nothing counted where it has none, or one that another version wrote."""
        note = stage.metadata.annotations.get(names.ANNOTATION_LOADS)
        if note is None:
            return cls()
        try:
            return cls.model_validate_json(note)
        except ValidationError:
            return cls()
