"""Log probabilities in OpenAI's two forms: lists side by side for completions, one object a token for chats."""

from collections.abc import Sequence

from moe_gateway.openai.responses import ChatLogprob, ChatLogprobs, CompletionLogprobs, TopLogprob
from moe_gateway.scores import TokenScore


def completion_logprobs(scores: Sequence[TokenScore]) -> CompletionLogprobs:
    """As /v1/completions tells them; the token itself is among the likeliest, whether it is one of them or not."""
    return CompletionLogprobs(
        text_offset=[score.offset for score in scores],
        token_logprobs=[score.logprob for score in scores],
        tokens=[_name(score.token) for score in scores],
        top_logprobs=[None if score.logprob is None else _top(score, score.logprob) for score in scores],
    )


def chat_logprobs(scores: Sequence[TokenScore]) -> ChatLogprobs:
    """As /v1/chat/completions tells them; `bytes` of all tokens together are the text's."""
    content = [
        ChatLogprob(
            token=_text(score.token),
            logprob=score.logprob,
            bytes=list(score.token),
            top_logprobs=[
                TopLogprob(token=_text(token), logprob=logprob, bytes=list(token)) for token, logprob in score.top
            ],
        )
        for score in scores
        if score.logprob is not None
    ]
    return ChatLogprobs(content=content, refusal=None)


def _top(score: TokenScore, logprob: float) -> dict[str, float]:
    """By name; where two tokens have one name, the likelier one's."""
    top: dict[str, float] = {}
    for token, value in (*score.top, (score.token, logprob)) if score.top else ():
        top.setdefault(_name(token), value)
    return top


def _text(token: bytes) -> str:
    return token.decode(errors="replace")


def _name(token: bytes) -> str:
    """Half a character has a name of its own, so that the names of two of them differ."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token)
