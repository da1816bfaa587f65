"""Every failure in OpenAI's form: ours, the framework's validation, and unknown paths."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from moe_gateway.errors import ApiError, invalid_request
from moe_gateway.openai.reply import error_response

_LONGEST_VALUE = 80


def install_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def on_api_error(_: Request, error: ApiError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return error_response(describe(error.errors()))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        return error_response(_from_http(request, error))


def describe(problems: Sequence[Any]) -> ApiError:
    """The first of pydantic's problems: what was sent, and the rule that it breaks."""
    problem = problems[0]
    place = [part for part in problem["loc"] if part != "body"]
    param = str(place[0]) if place and isinstance(place[0], str) else None
    if problem["type"] == "json_invalid":
        return invalid_request(
            f"The body is not JSON: {problem['ctx']['error']} near character {problem['loc'][-1]}. "
            "Send one JSON object."
        )
    if param is None:
        return invalid_request(_message_without_param(problem))
    if problem["type"] == "extra_forbidden":
        return invalid_request(
            f"Unrecognized request argument supplied: {'.'.join(map(str, place))}. Leave it out.", param=param
        )
    if problem["type"] == "missing":
        return invalid_request(f"You must provide '{'.'.join(map(str, place))}'.", param=param)
    rules = list(
        dict.fromkeys(other["msg"] for other in problems if [p for p in other["loc"] if p != "body"][:1] == place[:1])
    )
    return invalid_request(
        f"Invalid value for '{param}': {_show(problem['input'])}. {'; or '.join(rules)}.", param=param
    )


def _message_without_param(problem: Any) -> str:
    if problem["type"] == "value_error":
        return f"{problem['ctx']['error']}."
    return f"The body must be one JSON object with content-type application/json: {problem['msg']}."


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."


def _from_http(request: Request, error: HTTPException) -> ApiError:
    if error.status_code == 404:
        return invalid_request(
            f"Unknown path {request.url.path}. "
            "This gateway serves /v1/completions, /v1/chat/completions and /v1/models.",
            code="unknown_url",
            status=404,
        )
    if error.status_code == 405:
        return invalid_request(
            f"{request.method} is not allowed at {request.url.path}.", code="method_not_allowed", status=405
        )
    return invalid_request(str(error.detail), status=error.status_code)
