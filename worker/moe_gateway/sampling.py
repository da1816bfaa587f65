"""From a request's parameters to how its tokens are drawn, the same for as long as the request lives."""

import hashlib
import secrets
import struct

from moe_gateway.openai.requests import GenerationRequest
from moe_wire.messages import Sampling


def samplings_of(request: GenerationRequest, *, num_prompt: int, num_top_logprobs: int) -> list[Sampling]:
    """One for each choice that is tried. A seed is drawn where none was sent, and kept, so that another lane continues
    it identically.
    """
    seed = secrets.randbits(63) if request.seed is None else request.seed
    return [
        _sampling(request, choice_seed(seed, index), num_prompt, num_top_logprobs) for index in range(request.num_tried)
    ]


def choice_seed(seed: int, index: int) -> int:
    """The first choice's is the request's own, so that asking for more of them changes none."""
    if index == 0:
        return seed
    digest = hashlib.blake2b(struct.pack("<qI", seed, index), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def _sampling(request: GenerationRequest, seed: int, num_prompt: int, num_top_logprobs: int) -> Sampling:
    temperature = 1.0 if request.temperature is None else float(request.temperature)
    # The best of several is judged by its logprobs, whoever sees them.
    least_logprobs = 0 if request.num_tried > request.num_shown else -1
    return Sampling(
        temperature=temperature,
        top_k=max(0, request.top_k or 0),
        top_p=1.0 if request.top_p is None else float(request.top_p),
        seed=seed if temperature > 0 else 0,
        min_p=float(request.min_p or 0),
        repetition_penalty=1.0 if request.repetition_penalty is None else float(request.repetition_penalty),
        presence_penalty=float(request.presence_penalty or 0),
        frequency_penalty=float(request.frequency_penalty or 0),
        logit_bias=tuple((int(token), float(bias)) for token, bias in (request.logit_bias or {}).items()),
        logprobs=max(num_top_logprobs, least_logprobs),
        num_prompt=num_prompt,
    )
