import pytest

from moe_gateway.chat import ChatTemplate
from moe_gateway.errors import ApiError
from moe_gateway.tokenizer import CheckpointError
from tests.moe_gateway.fakes import CHAT_TEMPLATE

HELLO = [{"role": "user", "content": "Hello"}]


def test_messages_become_the_prompt_up_to_the_assistant_s_turn() -> None:
    text = ChatTemplate(CHAT_TEMPLATE, {}).render([{"role": "system", "content": "Be brief"}, *HELLO])
    assert text == "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_special_tokens_and_filters_of_hugging_face_work() -> None:
    source = "{{ bos_token }}{{ messages | tojson }}{% for m in messages %}{% break %}{% endfor %}"
    assert ChatTemplate(source, {"bos_token": "<s>"}).render(HELLO) == '<s>[{"role": "user", "content": "Hello"}]'


def test_a_template_may_refuse_messages_in_its_own_words() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(ApiError, match="roles must alternate") as caught:
        template.render(HELLO)
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    template = ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(ApiError, match="unsafe"):
        template.render(HELLO)


def test_a_template_that_does_not_compile_is_the_checkpoint_s_fault() -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        ChatTemplate("{% if %}", {})


def test_a_template_s_own_names_may_be_set_and_the_usual_ones_may_not() -> None:
    source = "{{ messages | length }} {{ tools }} {{ enable_thinking }} {{ add_generation_prompt }} {{ bos_token }}"
    options = {"enable_thinking": False, "messages": [], "tools": [1], "add_generation_prompt": 9, "bos_token": "x"}
    text = ChatTemplate(source, {"bos_token": "<s>"}).render(HELLO, options=options)
    assert text == "1 None False True <s>"
