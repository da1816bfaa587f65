"""What clients may send. Parameters that exist at OpenAI and do not work here are refused by name, never ignored."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_STOPS = 16


def _whole_characters(text: str) -> str:
    """JSON can spell half of a surrogate pair, which is no character and has no tokens."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a surrogate pair; send whole characters") from error
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_whole_characters)]
Token = Annotated[int, Field(ge=0)]


class RequestModel(BaseModel):
    """Strict: a number in quotes is a mistake of the client's, and so is a name that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class StreamOptions(RequestModel):
    include_usage: bool = False
    include_obfuscation: bool = False


class GenerationRequest(RequestModel):
    """The parameters that both kinds of completion share."""

    model: Text
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(
        default=None,
        ge=-1,
        le=1_000_000,
        description="Extension: draw among so many likeliest tokens; 0 and -1 mean all",
    )
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: bool = Field(default=False, description="Extension: add `token_ids` to the choices")
    ignore_eos: bool = Field(default=False, description="Extension: go on at the model's end tokens, to max_tokens")

    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def wants_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_usage_chunk(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="after")
    def _refuse_what_does_not_work(self) -> Self:
        for name, works in self._limits().items():
            value = getattr(self, name)
            if value is not None and value not in works:
                raise ValueError(f"{name}={value!r} is not supported here; leave it out or send {name}={works[0]!r}")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed with stream=true; leave it out or set stream")
        return self

    def _limits(self) -> dict[str, list[Any]]:
        """By parameter, the only values that work."""
        return {"n": [1], "presence_penalty": [0], "frequency_penalty": [0], "logit_bias": [{}]}


class CompletionRequest(GenerationRequest):
    """Body of /v1/completions. Several prompts give several choices."""

    prompt: Text | list[Text] | list[Token] | list[list[Token]]
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None

    def _limits(self) -> dict[str, list[Any]]:
        return super()._limits() | {"best_of": [1], "echo": [False], "logprobs": [None], "suffix": [""]}


class TextPart(RequestModel):
    type: Literal["text"]
    text: Text


class ChatMessage(RequestModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """As chat templates expect it; few know `developer`, OpenAI's newer word for system."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatCompletionRequest(GenerationRequest):
    """Body of /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    modalities: list[str] | None = None

    def _limits(self) -> dict[str, list[Any]]:
        return super()._limits() | {
            "logprobs": [False],
            "top_logprobs": [0],
            "response_format": [{"type": "text"}],
            "tools": [[]],
            "tool_choice": ["none", "auto"],
            "modalities": [["text"]],
        }
