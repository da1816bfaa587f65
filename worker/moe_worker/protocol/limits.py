"""What a lane can serve at all: the checks that make a request the user's mistake rather than anybody's failure."""

from moe_wire.messages import Refused, Submit
from moe_worker.protocol.settings import Settings


def longest_sequence(settings: Settings) -> int:
    """Prompt and new tokens together: what the model allows, and what one lane's blocks hold."""
    return min(settings.max_sequence_length, settings.blocks_per_lane * settings.block_size)


def refusal(submit: Submit, settings: Settings, num_waiting: int) -> Refused | None:
    """Why nobody can serve this request, or not now, with value, rule and remedy; None if it is fine.

    "overloaded" is no mistake: `num_waiting` others wait already. A stream that has begun is let in nevertheless.
    """
    if not submit.prompt:
        return Refused(
            submit.request, "empty_prompt", "The prompt has 0 tokens but must have at least 1. Send a non-empty one."
        )
    if submit.max_tokens <= len(submit.generated):
        return Refused(
            submit.request,
            "invalid_max_tokens",
            f"max_tokens is {submit.max_tokens} but must exceed the {len(submit.generated)} tokens generated so far. "
            "Ask for more.",
        )
    longest = longest_sequence(settings)
    total = len(submit.prompt) + submit.max_tokens
    if total > longest:
        return Refused(
            submit.request,
            "context_length_exceeded",
            f"The prompt has {len(submit.prompt)} tokens and max_tokens is {submit.max_tokens}: {total} together, "
            f"but at most {longest} fit. Shorten the prompt or ask for fewer tokens.",
        )
    if num_waiting >= settings.max_waiting and not submit.generated:
        return Refused(
            submit.request,
            "overloaded",
            f"{num_waiting} requests wait for this lane and at most {settings.max_waiting} may. Try again later.",
        )
    return None
