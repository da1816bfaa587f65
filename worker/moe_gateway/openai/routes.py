"""The paths of the API. Each function names what it reads and leaves the rest to the service and the reply."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from moe_gateway.metrics import Metrics
from moe_gateway.openai.chat import ChatDialect
from moe_gateway.openai.completions import CompletionDialect
from moe_gateway.openai.dialect import Envelope
from moe_gateway.openai.reply import Reply
from moe_gateway.openai.requests import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    GenerationRequest,
    TokenizeRequest,
)
from moe_gateway.openai.responses import (
    ChatCompletion,
    Completion,
    Detokenized,
    ErrorBody,
    Model,
    ModelList,
    ResponseModel,
    Tokenized,
)
from moe_gateway.service import Service, new_id, unix_seconds

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text}
    for status, text in {
        400: "The request is wrong; the message names value, rule and remedy",
        401: "No API key, or a wrong one",
        404: "This model is not served here",
        413: "The body is too large",
        422: "Never sent: what cannot be read is a 400",
        429: "Too much is under way; Retry-After says when to try again",
        500: "The gateway failed",
        503: "No capacity for as long as a request may wait",
        504: "Not complete in time",
    }.items()
}


STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole answer, or with stream=true its pieces as server-sent events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def api_routes(service: Service) -> APIRouter:
    """OpenAI's endpoints."""
    router = APIRouter(prefix="/v1", responses=ERRORS)

    @router.post("/completions", response_model=Completion, responses=STREAM)
    async def complete(body: CompletionRequest, request: Request) -> Response:
        exchange = service.complete(body, name=request.state.request_id)
        envelope = _envelope(service, body, "cmpl", has_logprobs=body.num_top_logprobs >= 0)
        return Reply(exchange, CompletionDialect(envelope), envelope, is_stream=body.wants_stream)

    @router.post("/chat/completions", response_model=ChatCompletion, responses=STREAM)
    async def chat(body: ChatCompletionRequest, request: Request) -> Response:
        exchange = service.chat(body, name=request.state.request_id)
        envelope = _envelope(service, body, "chatcmpl", has_logprobs=body.num_top_logprobs >= 0)
        return Reply(exchange, ChatDialect(envelope), envelope, is_stream=body.wants_stream)

    @router.get("/models")
    async def list_models() -> ModelList:
        return ModelList(object="list", data=[_model(service)])

    @router.get("/models/{model:path}")
    async def get_model(model: str) -> Model:
        service.check_model(model)
        return _model(service)

    return router


def text_routes(service: Service) -> APIRouter:
    """Text to tokens and back, at vLLM's paths."""
    router = APIRouter(responses=ERRORS)

    @router.post("/tokenize", response_model=Tokenized)
    async def tokenize(body: TokenizeRequest) -> Response:
        tokens = service.tokenize(body)
        answer = {"count": len(tokens), "max_model_len": service.limits.max_sequence_length, "tokens": list(tokens)}
        if body.return_token_strs:
            spelled = map(service.text_model.token_bytes.of, tokens)
            answer["token_strs"] = [token.decode(errors="replace") for token in spelled]
        return _json(Tokenized.model_validate(answer))

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> Detokenized:
        service.check_model(body.model or service.served_model)
        return Detokenized(prompt=service.text_model.spell(service.checked(body.tokens, param="tokens")))

    return router


def probe_routes(service: Service, metrics: Metrics) -> APIRouter:
    """What the kubelet and people ask."""
    router = APIRouter()

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @router.get("/metrics", response_class=PlainTextResponse)
    async def show_metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/readyz", responses={503: {"description": "No lane's head is connected, or the gateway is stopped"}})
    async def readyz() -> JSONResponse:
        balancer = service.balancer
        counts = {
            "heads": balancer.num_heads,
            "requests": balancer.num_live,
            "waiting": balancer.num_waiting,
            **vars(balancer.counts),
        }
        if service.drain.is_set():
            return JSONResponse({"ready": False, "reason": "this gateway is being stopped", **counts}, status_code=503)
        if balancer.num_heads == 0:
            return JSONResponse({"ready": False, "reason": "no lane head is connected", **counts}, status_code=503)
        return JSONResponse({"ready": True, **counts})

    return router


def _envelope(service: Service, body: GenerationRequest, prefix: str, *, has_logprobs: bool) -> Envelope:
    return Envelope(
        id=new_id(prefix),
        created=unix_seconds(),
        model=service.served_model,
        has_token_ids=body.return_token_ids,
        has_logprobs=has_logprobs,
        has_usage_chunk=body.wants_usage_chunk,
    )


def _json(answer: ResponseModel) -> Response:
    return Response(answer.to_json(), media_type="application/json")


def _model(service: Service) -> Model:
    return Model(
        id=service.served_model,
        object="model",
        created=service.started,
        owned_by="moe-operator",
        max_model_len=service.limits.max_sequence_length,
    )
