import json
import shutil
from pathlib import Path

import pytest

from moe_gateway.tokenizer import CheckpointError, TextModel, load_text_model
from tests.moe_gateway.fakes import CHAT_TEMPLATE


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def test_text_comes_back_as_it_went_in(text_model: TextModel) -> None:
    text = "the quick 你好 🎉"
    assert text_model.decode(text_model.encode(text, add_special_tokens=True)) == text


def test_what_the_files_say_is_read(text_model: TextModel) -> None:
    assert text_model.vocab_size == 400
    assert len(text_model.end_tokens) == 2
    assert text_model.special_tokens == {"eos_token": "<|end|>"}
    assert text_model.chat_template == CHAT_TEMPLATE


def test_the_config_names_the_end_where_no_generation_config_does(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    end = json.loads((folder / "config.json").read_text())["eos_token_id"]
    assert load_text_model(folder).end_tokens == (end,)


def test_a_template_in_a_file_of_its_own_wins(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("own")
    assert load_text_model(folder).chat_template == "own"


def test_the_default_of_several_templates_is_taken(folder: Path) -> None:
    templates = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert load_text_model(folder).chat_template == "d"


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_missing_file_is_named_with_the_remedy(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} does not exist; .*checkpoint"):
        load_text_model(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "generation_config.json"])
def test_a_truncated_file_is_named(folder: Path, name: str) -> None:
    content = (folder / name).read_text()
    (folder / name).write_text(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=name):
        load_text_model(folder)
