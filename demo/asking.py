"""A completion over HTTP, held against what transformers says on the same checkpoint."""

import json

import httpx

from demo.checkpoint import prepare_checkpoint
from demo.reference import Reference
from demo.screen import one_line
from demo.tour import QUESTION, ROOT, STREAMS, Tour

SHOWN_FIELDS = ("model", "prompt", "max_tokens", "temperature")
SHOWN_CHARACTERS = 300


def begin_reference(tour: Tour) -> None:
    """Let transformers answer the same prompts meanwhile, in a process of its own."""
    checkpoint = prepare_checkpoint(tour.deployment)
    tour.reference = Reference.start(ROOT, checkpoint.folder, [QUESTION, *STREAMS])


def ask(tour: Tour) -> None:
    """Ask as curl would, and compare the tokens."""
    tour.screen.title("A completion over HTTP, token for token")
    tour.url = tour.deployed.url()
    body = {**QUESTION.body(tour.deployment.served_name), "stream": False}
    answer = httpx.post(f"{tour.url}/v1/completions", json=body, timeout=120, trust_env=False)
    shown = json.dumps({key: body[key] for key in SHOWN_FIELDS})
    tour.screen.command(f"curl {tour.url}/v1/completions --json '{shown}'", answer.text[:SHOWN_CHARACTERS])
    answer.raise_for_status()
    choice = answer.json()["choices"][0]
    tokens = choice["token_ids"]
    tour.screen.say(f"in words            {one_line(QUESTION.text + choice['text'])}")
    with tour.screen.progress():
        tour.screen.show("waiting for transformers to answer the same prompts, in a process of its own")
        assert tour.reference is not None, "started with the checkpoint"
        tour.expected = tour.reference.finish()
    tour.screen.say(f"tokens here         {tokens}")
    tour.screen.say(f"from transformers   {tour.expected[0]}")
    tour.screen.check(tokens == tour.expected[0], "equal, token for token")
