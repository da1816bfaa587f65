"""The errors that users of the HTTP API see, in OpenAI's form: the value, the rule that it breaks and the remedy.

ApiError is the only exception that becomes an answer by intent; everything else that reaches the server is our bug
and becomes a 500.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class ApiError(Exception):
    """One refused or failed request: the HTTP status, and OpenAI's four fields."""

    status: int
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def body(self) -> dict[str, dict[str, str | None]]:
        """The JSON body that OpenAI's clients read."""
        # What the client sent is quoted in the message, and need not be text that can be encoded.
        message = self.message.encode(errors="replace").decode()
        return {"error": {"message": message, "type": self.type, "param": self.param, "code": self.code}}


def invalid_request(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> ApiError:
    """The user's mistake."""
    return ApiError(status, message, "invalid_request_error", param, code)


def model_not_found(model: str, *, served: str) -> ApiError:
    return invalid_request(
        f"The model '{model}' does not exist here; this gateway serves '{served}'. Send model='{served}'.",
        param="model",
        code="model_not_found",
        status=404,
    )


def context_too_long(*, prompt: int, new: int, limit: int, param: str) -> ApiError:
    """More tokens than a sequence may have. All numbers are tokens."""
    return invalid_request(
        f"This model's maximum context length is {limit} tokens, but you asked for {prompt + new} "
        f"({prompt} in the prompt and {new} for the completion). Shorten the prompt or ask for fewer new tokens.",
        param=param,
        code="context_length_exceeded",
    )


def text_too_long(*, characters: int, limit: int, param: str) -> ApiError:
    """A text so long that no tokenisation of it fits; `limit` is in tokens."""
    return invalid_request(
        f"This model's maximum context length is {limit} tokens, which {characters} characters cannot fit. "
        "Shorten the prompt.",
        param=param,
        code="context_length_exceeded",
    )


def body_too_large(limit_bytes: int) -> str:
    return f"The body is larger than {limit_bytes} bytes, the most that this gateway reads. Send less in one request."


def no_capacity(*, hold_seconds: float, connected_heads: int) -> ApiError:
    """Nothing could take or continue the request for as long as it may wait."""
    return ApiError(
        503,
        f"No capacity could serve this request for {hold_seconds:g} s (spec.failover.holdSeconds; {connected_heads} "
        "lane heads are connected). Try again later; `kubectl get moed` says what is missing.",
        "server_error",
        code="no_capacity",
        headers={"Retry-After": str(max(1, round(hold_seconds)))},
    )


def too_many_requests(*, live: int, new: int, limit: int) -> ApiError:
    """This gateway has all the choices under way that it may have."""
    return _rate_limited(
        f"This gateway works on {live} choices and takes at most {limit} at a time; yours needs {new} more. "
        "Try again in a moment."
    )


def overloaded(message: str) -> ApiError:
    """Every lane's head has as many requests waiting as it takes."""
    return _rate_limited(f"Every lane is full. {message} Try again in a moment.")


def not_finite(message: str) -> ApiError:
    """The model has no next token; `message` is its head's."""
    return ApiError(500, message, "server_error", code="not_finite")


def deadline_exceeded(*, limit_seconds: float) -> ApiError:
    """The answer was not complete in time."""
    return ApiError(
        504,
        f"The answer was not complete within {limit_seconds:g} s, the limit of this request. "
        "Ask for fewer tokens, or allow more with 'timeout' or spec.gateway.requestTimeout.",
        "timeout_error",
        code="deadline_exceeded",
    )


def going_away() -> ApiError:
    """This gateway's pod ends before the answer does."""
    return ApiError(
        503,
        "This gateway is being stopped and cannot finish this answer. Send the request again; another one takes it.",
        "server_error",
        code="gateway_stopping",
        headers={"Retry-After": "1"},
    )


def unauthorized(key: str | None) -> ApiError:
    """No key, or a wrong one, in OpenAI's words; of a wrong one only the ends are repeated."""
    if key is None:
        message = "You didn't provide an API key. Send one in the header 'Authorization: Bearer YOUR_KEY'."
    else:
        shown = f"{key[:3]}...{key[-2:]}" if len(key) >= 12 else "***"
        message = f"Incorrect API key provided: {shown}. Ask whoever runs this gateway for one."
    code = None if key is None else "invalid_api_key"
    return ApiError(401, message, "invalid_request_error", code=code, headers={"WWW-Authenticate": "Bearer"})


def _rate_limited(message: str) -> ApiError:
    return ApiError(429, message, "requests", code="rate_limit_exceeded", headers={"Retry-After": "1"})


def internal_error(request_id: str) -> ApiError:
    message = f"The gateway failed on this request; its log has the cause under request id {request_id}."
    return ApiError(500, message, "server_error")
