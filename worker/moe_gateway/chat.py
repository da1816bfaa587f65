"""Chat messages to a prompt by the checkpoint's own template, which is foreign code and runs in jinja's sandbox."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn

from jinja2 import Template, TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from moe_gateway.errors import ApiError, invalid_request
from moe_gateway.tokenizer import CheckpointError


class ChatTemplate:
    """A compiled template, with the names that Hugging Face's templates expect."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._template = _compile(source)
        self._special_tokens = dict(special_tokens)

    def render(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        add_generation_prompt: bool = True,
    ) -> str:
        """The prompt, by default up to where the assistant begins to speak; raises ApiError where the template
        refuses. `options` are names that this checkpoint's template knows beside the usual ones.
        """
        names = {"messages": messages, "add_generation_prompt": add_generation_prompt, "tools": None}
        try:
            return self._template.render({**options, **self._special_tokens, **names})
        except (TemplateError, TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
            raise _refused(error) from error


def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise CheckpointError(
            f"the checkpoint's chat template does not compile ({error}); correct it in tokenizer_config.json."
        ) from error


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refused(error: Exception) -> ApiError:
    return invalid_request(
        f"The model's chat template does not accept these messages: {error}. Change their roles or order, "
        "or use /v1/completions.",
        param="messages",
    )
