from transformers import PreTrainedTokenizerFast

from tests.training.conftest import CHAPTER
from training.vocabulary import END, encode, learn_vocabulary


def test_any_text_survives(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "Zürich, 3 ≥ 2\n\ttab"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_same_chapters_give_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert learn_vocabulary([CHAPTER]).get_vocab() == tokenizer.get_vocab()


def test_a_stop_token_closes_every_chapter(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = encode(tokenizer, ["God said", "light"]).tolist()
    first, second = tokenizer("God said").input_ids, tokenizer("light").input_ids
    end = tokenizer.convert_tokens_to_ids(END)
    assert tokens == [*first, end, *second, end]


def test_a_chat_is_gone_on_with(tokenizer: PreTrainedTokenizerFast) -> None:
    said = [{"role": "user", "content": "In the"}, {"role": "assistant", "content": "beginning"}]
    assert tokenizer.apply_chat_template(said, tokenize=False) == "In the\nbeginning"
