"""What a plan needs beyond its degrees that the workers of this release do not run. Knows the features they declare."""

from collections.abc import Iterable

from moe_api import worker_features
from moe_planner.model import ModelShape
from moe_planner.result import Unsupported

_UNNAMED = "declared"
_PACKED = {"expertBits": "expert_bits", "projectionBits": "projection_bits", "keyValueBits": "kv_bits"}


def beyond_the_workers(shape: ModelShape) -> tuple[Unsupported, ...]:
    """Families and packed numbers; a shape that names no family is asked for none."""
    return (*_family(shape), *_packed(shape))


def _family(shape: ModelShape) -> Iterable[Unsupported]:
    known = worker_features.FAMILIES
    if shape.family not in (_UNNAMED, *known):
        yield Unsupported(
            field="model.shape.family",
            value=shape.family,
            rule=f"the workers of v1alpha1 run {', '.join(known)}",
            remedy="serve a model of one of these families",
        )


def _packed(shape: ModelShape) -> Iterable[Unsupported]:
    for field, name in _PACKED.items():
        bits = getattr(shape, name)
        if bits:
            yield Unsupported(
                field=f"model.shape.{field}",
                value=bits,
                rule="the workers of v1alpha1 hold every number in spec.model.dtype",
                remedy="leave it out, so that the plan counts what they hold",
            )
