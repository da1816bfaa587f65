"""What all models of the resources share: camelCase outside, snake_case inside, and how they are written out."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _field_name(name: str) -> str:
    """pod_uid -> podUID; everything else is plain camelCase."""
    return to_camel(name).removesuffix("Uid") + "UID" if name.endswith("_uid") else to_camel(name)


class ApiModel(BaseModel):
    """Frozen; reads camelCase or snake_case, writes camelCase; a docstring under a field is its CRD description."""

    model_config = ConfigDict(
        alias_generator=_field_name,
        populate_by_name=True,
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
    )

    def dump(self) -> dict[str, Any]:
        """Plain JSON values, camelCase; what is None is left out, as Kubernetes does."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def load(cls, data: object) -> Self:
        """From plain JSON values. Raises pydantic.ValidationError."""
        return cls.model_validate(data)


class SpecModel(ApiModel):
    """Part of a spec: an unknown field is a mistake, never ignored, and "8" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ObjectMeta(ApiModel):
    """The part of Kubernetes' ObjectMeta that is read here; the rest passes through untouched."""

    model_config = ConfigDict(extra="allow")

    name: str = ""
    namespace: str = "default"
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    finalizers: list[str] = Field(default_factory=list)
    owner_references: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def is_deleting(self) -> bool:
        return self.deletion_timestamp is not None
