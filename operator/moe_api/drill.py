"""Drills: what a gateway tells of the requests that it keeps under way while a failure is rehearsed.

It is the JSON in the gateway pod's `moe-operator.dev/report` annotation.
"""

from moe_api.base import ApiModel


class CanaryReport(ApiModel):
    """`name` is the drill; `is_ready` when every stream has had tokens, `is_final` when all is counted.

    `stall_ms` is the longest wait for a token since then. `failed` requests got an error (`reason` is the first one's),
    `wrong` ones other tokens than the first answer to the same prompt.
    """

    name: str
    is_ready: bool = False
    is_final: bool = False
    stall_ms: int = 0
    failed: int = 0
    wrong: int = 0
    reason: str = ""

    def to_json(self) -> str:
        """Compact and in a fixed order, so that equal reports are equal strings."""
        return self.model_dump_json(by_alias=True)

    @classmethod
    def from_json(cls, text: str) -> "CanaryReport":
        """Raises pydantic.ValidationError on anything that is no such report."""
        return cls.model_validate_json(text)
