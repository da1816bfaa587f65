import hashlib
import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from moe_worker.make_checkpoint import main

SMALL = ["--layers", "2", "--experts", "4", "--vocab", "300"]


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    assert main([str(tmp_path / "a"), *SMALL]) == 0
    assert main([str(tmp_path / "b"), *SMALL]) == 0
    assert main([str(tmp_path / "c"), *SMALL, "--seed", "1"]) == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_it_is_a_hugging_face_folder(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    main([str(folder), *SMALL])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Hello, ships of the sea: déjà vu!"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == 300
    chat = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.num_experts_per_tok == 2
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert len(set(json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"].values())) > 1


def test_a_folder_made_otherwise_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    assert main([str(folder), *SMALL]) == 0
    assert main([str(folder), *SMALL]) == 0
    assert "already made" in capsys.readouterr().out
    before = digests(folder)
    assert main([str(folder), *SMALL, "--seed", "5"]) == 1
    assert "remove it or name another folder" in capsys.readouterr().err
    assert digests(folder) == before
