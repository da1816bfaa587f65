"""Whatever a client sends, the answer is one that our OpenAPI description names, in OpenAI's form, and never a failure.

Schemathesis makes the requests from the description, right and wrong ones; a head answers at once.
"""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.moe_gateway.conftest import Gateway
from tests.moe_gateway.fakes import FakeHead

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
OPERATIONS = [
    ("/v1/completions", "POST"),
    ("/v1/chat/completions", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{model}", "GET"),
    ("/tokenize", "POST"),
    ("/detokenize", "POST"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
]


def name_the_model(case: Any) -> None:
    """Else every request would end at a model that is not served."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = "demo-model"


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        *((path, method, schemathesis.GenerationMode.POSITIVE) for path, method in OPERATIONS),
        # Where nothing can be sent, nothing can be wrong.
        *((path, method, schemathesis.GenerationMode.NEGATIVE) for path, method in OPERATIONS if method == "POST"),
    ],
)
async def test_every_answer_is_one_that_the_description_names(
    gateway: Gateway, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    await gateway.add_heads(FakeHead())
    description = (await gateway.http.get("/openapi.json")).json()
    operation = schemathesis.openapi.from_dict(description)[path][method]

    @seed(1)
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        name_the_model(case)
        case.call_and_validate(base_url=str(gateway.http.base_url), checks=CHECKS, timeout=20)

    await asyncio.to_thread(ask)
    assert gateway.balancer.num_live == 0


async def test_every_path_is_described_and_fuzzed(gateway: Gateway) -> None:
    description = (await gateway.http.get("/openapi.json")).json()
    described = [(path, method.upper()) for path, methods in description["paths"].items() for method in methods]
    assert sorted(described) == sorted(OPERATIONS)
