"""What clients may send. Parameters that exist at OpenAI and do not work here are refused by name, never ignored."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_STOPS = 16
MAX_CHOICES = 128
MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20


def _whole_characters(text: str) -> str:
    """JSON can spell half of a surrogate pair, which is no character and has no tokens."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a surrogate pair; send whole characters") from error
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_whole_characters)]
Token = Annotated[int, Field(ge=0, lt=2**32)]
TokenName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
Bias = Annotated[float, Field(ge=-100, le=100)]


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
    min_p: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Extension: draw among tokens at least so likely beside the likeliest",
    )
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="Extension: above 1, what prompt or answer have said becomes less likely",
    )
    logit_bias: dict[TokenName, Bias] | None = Field(default=None, max_length=MAX_BIASES)
    stop: StopString | Annotated[list[StopString], Field(max_length=MAX_STOPS)] | None = None
    stop_token_ids: Annotated[list[Token], Field(max_length=MAX_STOPS)] | None = Field(
        default=None, description="Extension: tokens that end the answer, beside the model's own"
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_token_ids: bool = Field(default=False, description="Extension: add `token_ids` to the choices")
    ignore_eos: bool = Field(default=False, description="Extension: go on at the model's end tokens, to max_tokens")
    priority: int | None = Field(
        default=None,
        ge=-(2**31) + 1,
        lt=2**31,
        description="Extension: of those that wait, the lowest goes first, as vLLM has it; 0 where left out",
    )
    timeout: float | None = Field(
        default=None,
        gt=0,
        description="Extension: seconds that the answer may take; at most the gateway's own limit",
    )

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
    def num_shown(self) -> int:
        """Choices for each prompt."""
        return self.n or 1

    @property
    def num_tried(self) -> int:
        """Choices for each prompt that are generated to show the best of them."""
        return self.num_shown

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
        return {}


class CompletionRequest(GenerationRequest):
    """Body of /v1/completions. Several prompts give several choices."""

    prompt: Text | list[Text] | list[Token] | list[list[Token]]
    best_of: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    echo: bool | None = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    suffix: str | None = None

    @property
    def num_tried(self) -> int:
        return self.best_of or self.num_shown

    @property
    def num_top_logprobs(self) -> int:
        """How many likeliest tokens are told beside each token; -1 where no logprobs are wanted."""
        return -1 if self.logprobs is None else self.logprobs

    @model_validator(mode="after")
    def _check_what_goes_together(self) -> Self:
        if self.num_tried < self.num_shown:
            raise ValueError(f"best_of={self.best_of} is less than n={self.n}; send best_of of at least n")
        if self.stream and self.num_tried > self.num_shown:
            raise ValueError("best_of over n cannot be streamed: the best is known at the end; leave out one of them")
        return self

    def _limits(self) -> dict[str, list[Any]]:
        return super()._limits() | {"suffix": [""]}


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
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_TOP_LOGPROBS)
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Extension: more names for the chat template, such as enable_thinking"
    )
    response_format: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    modalities: list[str] | None = None

    @property
    def num_top_logprobs(self) -> int:
        """How many likeliest tokens are told beside each token; -1 where no logprobs are wanted."""
        return (self.top_logprobs or 0) if self.logprobs else -1

    @model_validator(mode="after")
    def _check_what_goes_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs is only allowed with logprobs=true; leave it out or set logprobs")
        return self

    def _limits(self) -> dict[str, list[Any]]:
        return super()._limits() | {
            "response_format": [{"type": "text"}],
            "tools": [[]],
            "tool_choice": ["none", "auto"],
            "modalities": [["text"]],
        }


class TokenizeRequest(RequestModel):
    """Body of /tokenize: a prompt, or messages that the chat template makes one of."""

    model: Text | None = None
    prompt: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] | None = None
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _check_that_there_is_one_text(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either prompt or messages")
        return self


class DetokenizeRequest(RequestModel):
    """Body of /detokenize."""

    model: Text | None = None
    tokens: list[Token]
