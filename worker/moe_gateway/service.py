"""What the gateway serves: judges a request against the model and its limits, and makes the exchange for it."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from moe_gateway.balancer import Balancer
from moe_gateway.chat import ChatTemplate
from moe_gateway.errors import context_too_long, invalid_request, model_not_found, text_too_long
from moe_gateway.exchange import Exchange, Wish
from moe_gateway.openai.completions import DEFAULT_MAX_TOKENS, prompts_of
from moe_gateway.openai.requests import ChatCompletionRequest, CompletionRequest, GenerationRequest
from moe_gateway.tokenizer import TextModel
from moe_wire.messages import Sampling

_MAX_PROMPTS = 128


@dataclass(frozen=True, kw_only=True)
class Service:
    """One served model. `started` is in Unix seconds; `max_sequence_length` counts prompt and completion, in tokens."""

    served_model: str
    max_sequence_length: int
    text_model: TextModel
    chat_template: ChatTemplate | None
    balancer: Balancer
    started: int

    def complete(self, request: CompletionRequest, *, name: str) -> Exchange:
        """The exchange for /v1/completions, not yet open; raises ApiError."""
        self.check_model(request.model)
        prompts = prompts_of(request)
        if not 0 < len(prompts) <= _MAX_PROMPTS:
            raise invalid_request(
                f"{len(prompts)} prompts in one request; send from 1 to {_MAX_PROMPTS}.", param="prompt"
            )
        sampling = _sampling(request)
        wishes = []
        for prompt in prompts:
            if isinstance(prompt, str):
                tokens = self._encode(prompt, param="prompt", add_special_tokens=True)
            else:
                tokens = self._checked(prompt)
            wishes.append(
                self._wish(request, tokens, sampling, request.max_tokens or DEFAULT_MAX_TOKENS, param="prompt")
            )
        return self._exchange(name, wishes)

    def chat(self, request: ChatCompletionRequest, *, name: str) -> Exchange:
        """The exchange for /v1/chat/completions, not yet open; raises ApiError."""
        self.check_model(request.model)
        if self.chat_template is None:
            raise invalid_request(
                f"The checkpoint of '{self.served_model}' has no chat template. Use /v1/completions, or add one "
                "as chat_template to tokenizer_config.json.",
                param="messages",
            )
        text = self.chat_template.render([message.plain() for message in request.messages])
        tokens = self._encode(text, param="messages", add_special_tokens=False)
        rest = max(1, self.max_sequence_length - len(tokens))
        max_tokens = request.max_completion_tokens or request.max_tokens or rest
        return self._exchange(name, [self._wish(request, tokens, _sampling(request), max_tokens, param="messages")])

    def check_model(self, model: str) -> None:
        if model != self.served_model:
            raise model_not_found(model, served=self.served_model)

    def _exchange(self, name: str, wishes: Sequence[Wish]) -> Exchange:
        return Exchange(name, wishes, balancer=self.balancer, decoder=self.text_model)

    def _wish(
        self, request: GenerationRequest, tokens: tuple[int, ...], sampling: Sampling, max_tokens: int, *, param: str
    ) -> Wish:
        if not tokens:
            raise invalid_request("The prompt has no tokens; send at least one.", param=param)
        if len(tokens) + max_tokens > self.max_sequence_length:
            raise context_too_long(prompt=len(tokens), new=max_tokens, limit=self.max_sequence_length, param=param)
        ends = () if request.ignore_eos else self.text_model.end_tokens
        return Wish(prompt=tokens, max_tokens=max_tokens, sampling=sampling, end_tokens=ends, stops=request.stops)

    def _encode(self, text: str, *, param: str, add_special_tokens: bool) -> tuple[int, ...]:
        # Tokenising megabytes only to refuse them would hold up every stream.
        if len(text) > self.max_sequence_length * self.text_model.longest_token:
            raise text_too_long(characters=len(text), limit=self.max_sequence_length, param=param)
        return self.text_model.encode(text, add_special_tokens=add_special_tokens)

    def _checked(self, tokens: Sequence[int]) -> tuple[int, ...]:
        worst = max(tokens, default=0)
        if worst >= self.text_model.vocab_size:
            raise invalid_request(
                f"Token {worst} is not in the vocabulary of '{self.served_model}'; "
                f"ids go from 0 to {self.text_model.vocab_size - 1}.",
                param="prompt",
            )
        return tuple(tokens)


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(16)}"


def unix_seconds() -> int:
    return int(time.time())


def _sampling(request: GenerationRequest) -> Sampling:
    """A seed is drawn where none was sent, and kept for the request, so that another lane continues it identically."""
    temperature = 1.0 if request.temperature is None else float(request.temperature)
    seed = secrets.randbits(63) if request.seed is None else request.seed
    return Sampling(
        temperature=temperature,
        top_k=max(0, request.top_k or 0),
        top_p=1.0 if request.top_p is None else float(request.top_p),
        seed=seed if temperature > 0 else 0,
    )
