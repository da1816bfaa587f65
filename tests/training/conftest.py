from collections.abc import Iterator

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from training.vocabulary import learn_vocabulary

CHAPTER = (
    "In the beginning, God created the heavens and the earth. God said, 'Let there be light,' and there was light.\n"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Of a few lines: the bytes and some words."""
    return learn_vocabulary([CHAPTER])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
