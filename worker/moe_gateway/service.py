"""What the gateway serves: judges a request against the model and its limits, and makes the exchange for it."""

import secrets
import time
from asyncio import Event
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from moe_gateway.balancer import Balancer
from moe_gateway.chat import ChatTemplate
from moe_gateway.errors import context_too_long, invalid_request, model_not_found, text_too_long, too_many_requests
from moe_gateway.exchange import Exchange, Wish
from moe_gateway.openai.completions import DEFAULT_MAX_TOKENS, prompts_of
from moe_gateway.openai.requests import (
    MAX_CHOICES,
    ChatCompletionRequest,
    ChatMessage,
    CompletionRequest,
    GenerationRequest,
    TokenizeRequest,
)
from moe_gateway.sampling import samplings_of
from moe_gateway.tokenizer import TextModel


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one gateway. `max_sequence_length` counts prompt and completion, in tokens; `max_choices` those under way at
    a time; `request_seconds` is how long one answer may take.
    """

    max_sequence_length: int
    max_choices: int
    request_seconds: float = inf


@dataclass(frozen=True, kw_only=True)
class Service:
    """One served model. `started` is in Unix seconds; `drain` is set when the gateway is to take no more clients."""

    served_model: str
    limits: Limits
    text_model: TextModel
    chat_template: ChatTemplate | None
    balancer: Balancer
    drain: Event
    started: int

    def complete(self, request: CompletionRequest, *, name: str) -> Exchange:
        """The exchange for /v1/completions, not yet open; raises ApiError."""
        self.check_model(request.model)
        prompts = prompts_of(request)
        num_choices = len(prompts) * request.num_tried
        if not 0 < num_choices <= MAX_CHOICES:
            raise invalid_request(
                f"{len(prompts)} prompts with {request.num_tried} choices each; send from 1 to {MAX_CHOICES} in all.",
                param="prompt",
            )
        self._check_room(num_choices)
        wishes: list[Wish] = []
        for prompt in prompts:
            if isinstance(prompt, str):
                tokens = self._encode(prompt, param="prompt", add_special_tokens=True)
            else:
                tokens = self.checked(prompt, param="prompt")
            echo = (prompt if isinstance(prompt, str) else self.text_model.decode(tokens)) if request.echo else ""
            max_tokens = request.max_tokens or DEFAULT_MAX_TOKENS
            wishes += self._wishes(request, tokens, request.num_top_logprobs, max_tokens, param="prompt", echo=echo)
        return self._exchange(name, request, wishes)

    def chat(self, request: ChatCompletionRequest, *, name: str) -> Exchange:
        """The exchange for /v1/chat/completions, not yet open; raises ApiError."""
        self.check_model(request.model)
        self._check_room(request.num_tried)
        tokens = self._encode_chat(request.messages, request.chat_template_kwargs, add_generation_prompt=True)
        rest = max(1, self.limits.max_sequence_length - len(tokens))
        max_tokens = request.max_completion_tokens or request.max_tokens or rest
        wishes = self._wishes(request, tokens, request.num_top_logprobs, max_tokens, param="messages")
        return self._exchange(name, request, wishes)

    def tokenize(self, request: TokenizeRequest) -> tuple[int, ...]:
        """The tokens that a completion or a chat would begin with; raises ApiError."""
        self.check_model(request.model or self.served_model)
        if request.messages is not None:
            return self._encode_chat(
                request.messages, request.chat_template_kwargs, add_generation_prompt=request.add_generation_prompt
            )
        is_special = request.add_special_tokens is not False
        return self._encode(request.prompt or "", param="prompt", add_special_tokens=is_special)

    def check_model(self, model: str) -> None:
        if model != self.served_model:
            raise model_not_found(model, served=self.served_model)

    def checked(self, tokens: Sequence[int], *, param: str) -> tuple[int, ...]:
        """The tokens, all of them known to the model; raises ApiError."""
        worst = max(tokens, default=0)
        if worst >= self.text_model.vocab_size:
            raise invalid_request(
                f"Token {worst} is not in the vocabulary of '{self.served_model}'; "
                f"ids go from 0 to {self.text_model.vocab_size - 1}.",
                param=param,
            )
        return tuple(tokens)

    def _check_room(self, num_choices: int) -> None:
        live, limit = self.balancer.num_live, self.limits.max_choices
        if live + num_choices > limit:
            raise too_many_requests(live=live, new=num_choices, limit=limit)

    def _exchange(self, name: str, request: GenerationRequest, wishes: Sequence[Wish]) -> Exchange:
        return Exchange(
            name,
            wishes,
            balancer=self.balancer,
            text_model=self.text_model,
            num_tried=request.num_tried,
            num_shown=request.num_shown,
        )

    def _wishes(
        self,
        request: GenerationRequest,
        tokens: tuple[int, ...],
        num_top_logprobs: int,
        max_tokens: int,
        *,
        param: str,
        echo: str = "",
    ) -> list[Wish]:
        """One for each choice of a prompt."""
        limit = self.limits.max_sequence_length
        if not tokens:
            raise invalid_request("The prompt has no tokens; send at least one.", param=param)
        if len(tokens) + max_tokens > limit:
            raise context_too_long(prompt=len(tokens), new=max_tokens, limit=limit, param=param)
        self.checked([int(token) for token in request.logit_bias or ()], param="logit_bias")
        stop_tokens = self.checked(request.stop_token_ids or (), param="stop_token_ids")
        ends = () if request.ignore_eos else self.text_model.end_tokens
        return [
            Wish(
                prompt=tokens,
                max_tokens=max_tokens,
                sampling=sampling,
                end_tokens=tuple(dict.fromkeys((*ends, *stop_tokens))),
                stops=request.stops,
                # The wire's highest goes first; vLLM's users know it the other way round.
                priority=-(request.priority or 0),
                limit_seconds=min(request.timeout or inf, self.limits.request_seconds),
                echo=echo,
                shows_logprobs=num_top_logprobs >= 0,
                prompt_logprobs=num_top_logprobs if echo else -1,
            )
            for sampling in samplings_of(request, num_prompt=len(tokens), num_top_logprobs=num_top_logprobs)
        ]

    def _encode_chat(
        self, messages: Sequence[ChatMessage], options: dict[str, Any] | None, *, add_generation_prompt: bool
    ) -> tuple[int, ...]:
        if self.chat_template is None:
            raise invalid_request(
                f"The checkpoint of '{self.served_model}' has no chat template. Use /v1/completions, or add one "
                "as chat_template to tokenizer_config.json.",
                param="messages",
            )
        text = self.chat_template.render(
            [message.plain() for message in messages],
            options=options or {},
            add_generation_prompt=add_generation_prompt,
        )
        return self._encode(text, param="messages", add_special_tokens=False)

    def _encode(self, text: str, *, param: str, add_special_tokens: bool) -> tuple[int, ...]:
        # Tokenising megabytes only to refuse them would hold up every stream.
        limit = self.limits.max_sequence_length
        if len(text) > limit * self.text_model.longest_token:
            raise text_too_long(characters=len(text), limit=limit, param=param)
        return self.text_model.encode(text, add_special_tokens=add_special_tokens)


def new_id(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(16)}"


def unix_seconds() -> int:
    return int(time.time())
