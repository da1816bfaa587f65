"""The checkpoint's tokenizer, and what its config files say of ends and sizes. Needs no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from moe_gateway.token_bytes import TokenBytes

_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


class CheckpointError(Exception):
    """The checkpoint lacks what the gateway needs; the message names the file, the rule and the remedy."""


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """The text side of a checkpoint. `end_tokens` end a sequence; ids are below `vocab_size`."""

    tokenizer: Tokenizer
    token_bytes: TokenBytes
    vocab_size: int
    end_tokens: tuple[int, ...]
    longest_token: int
    special_tokens: Mapping[str, str]
    chat_template: str | None

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def spell(self, ids: Sequence[int]) -> str:
        """The text of these ids, special tokens included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def load_text_model(folder: Path) -> TextModel:
    """Read the tokenizer and the configs beside it; raises CheckpointError."""
    tokenizer = _load_tokenizer(folder / "tokenizer.json")
    config = _read_json(folder / "config.json", required=True)
    options = _read_json(folder / "tokenizer_config.json")
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise CheckpointError(
            f"{folder / 'tokenizer.json'} has an empty vocabulary; copy the tokenizer that belongs to the checkpoint."
        )
    return TextModel(
        tokenizer=tokenizer,
        token_bytes=TokenBytes(tokenizer),
        vocab_size=int(config.get("vocab_size") or max(vocabulary.values()) + 1),
        end_tokens=_end_tokens(_read_json(folder / "generation_config.json"), config),
        longest_token=max(len(token) for token in vocabulary),
        special_tokens={name: text for name in _SPECIAL_TOKENS if (text := _token_text(options.get(name)))},
        chat_template=_chat_template(folder, options),
    )


def _load_tokenizer(path: Path) -> Tokenizer:
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist; the gateway needs the checkpoint's fast tokenizer. Save one beside config.json."
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(
            f"{path} is no tokenizer that can be read ({error}); save the checkpoint's tokenizer again."
        ) from error


def _read_json(path: Path, *, required: bool = False) -> dict[str, Any]:
    if not path.is_file():
        if required:
            raise CheckpointError(
                f"{path} does not exist; spec.model.source must name the folder of a Hugging Face checkpoint."
            )
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not readable JSON ({error}); copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not an object; copy the checkpoint again.")
    return content


def _end_tokens(generation: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[int, ...]:
    """generation_config.json wins over config.json, as in transformers."""
    ids = generation.get("eos_token_id")
    if ids is None:
        ids = config.get("eos_token_id")
    if ids is None:
        return ()
    return tuple(dict.fromkeys(int(token) for token in (ids if isinstance(ids, list) else [ids])))


def _token_text(token: object) -> str:
    """Tokenizer configs write a special token as text or as an AddedToken's fields."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def _chat_template(folder: Path, options: Mapping[str, Any]) -> str | None:
    """The folder's chat_template.jinja, else tokenizer_config.json's (where there are several: the default)."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = options.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, Mapping)}
        template = named.get("default")
    return template if isinstance(template, str) else None
