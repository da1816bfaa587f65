"""The paths of the API. Each function names what it reads and leaves the rest to the service and the reply."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from moe_gateway.openai.chat import ChatDialect
from moe_gateway.openai.completions import CompletionDialect
from moe_gateway.openai.dialect import Envelope
from moe_gateway.openai.reply import Reply
from moe_gateway.openai.requests import ChatCompletionRequest, CompletionRequest, GenerationRequest
from moe_gateway.openai.responses import ChatCompletion, Completion, Model, ModelList
from moe_gateway.service import Service, new_id, unix_seconds


def api_routes(service: Service) -> APIRouter:
    """OpenAI's endpoints."""
    router = APIRouter(prefix="/v1")

    @router.post("/completions", response_model=Completion)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        exchange = service.complete(body, name=request.state.request_id)
        envelope = _envelope(service, body, "cmpl")
        return Reply(exchange, CompletionDialect(envelope), envelope, is_stream=body.wants_stream)

    @router.post("/chat/completions", response_model=ChatCompletion)
    async def chat(body: ChatCompletionRequest, request: Request) -> Response:
        exchange = service.chat(body, name=request.state.request_id)
        envelope = _envelope(service, body, "chatcmpl")
        return Reply(exchange, ChatDialect(envelope), envelope, is_stream=body.wants_stream)

    @router.get("/models")
    async def list_models() -> ModelList:
        return ModelList(object="list", data=[_model(service)])

    @router.get("/models/{model:path}")
    async def get_model(model: str) -> Model:
        service.check_model(model)
        return _model(service)

    return router


def probe_routes(service: Service) -> APIRouter:
    """What the kubelet and people ask."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        balancer = service.balancer
        counts = {
            "heads": balancer.num_heads,
            "requests": balancer.num_live,
            "waiting": balancer.num_waiting,
            **vars(balancer.counts),
        }
        if balancer.num_heads == 0:
            return JSONResponse({"ready": False, "reason": "no lane head is connected", **counts}, status_code=503)
        return JSONResponse({"ready": True, **counts})

    return router


def _envelope(service: Service, body: GenerationRequest, prefix: str) -> Envelope:
    return Envelope(
        id=new_id(prefix),
        created=unix_seconds(),
        model=service.served_model,
        has_token_ids=body.return_token_ids,
        has_usage_chunk=body.wants_usage_chunk,
    )


def _model(service: Service) -> Model:
    return Model(
        id=service.served_model,
        object="model",
        created=service.started,
        owned_by="moe-operator",
        max_model_len=service.max_sequence_length,
    )
