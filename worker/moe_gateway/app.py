"""The HTTP application, made of its parts. Importing it starts nothing."""

from fastapi import FastAPI

from moe_gateway.envelope import RequestEnvelope
from moe_gateway.keys import ApiKeys
from moe_gateway.metrics import Metrics
from moe_gateway.openai.failures import install_error_handlers
from moe_gateway.openai.routes import api_routes, probe_routes, text_routes
from moe_gateway.service import Service


def build_app(service: Service, *, max_body_bytes: int, keys: ApiKeys, metrics: Metrics) -> FastAPI:
    app = FastAPI(
        title="MoE gateway",
        description="OpenAI-compatible completions over the lanes of one MoEDeployment",
        redoc_url=None,
    )
    app.include_router(api_routes(service))
    app.include_router(text_routes(service))
    app.include_router(probe_routes(service, metrics))
    install_error_handlers(app)
    app.add_middleware(RequestEnvelope, max_body_bytes=max_body_bytes, keys=keys, metrics=metrics)
    return app
