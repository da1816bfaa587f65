"""The model card: what the shipped folder says of itself, filled in with what was measured."""

import math
from dataclasses import dataclass

from training import corpus
from training.held_out import HeldOut
from training.recipe import Recipe

CARD = """\
---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: transformers
---
# speaking: a small Qwen3-MoE

{parameters:,} parameters in 16 layers of 16 experts, top 2, hidden size 64, a byte-level BPE of 2,048 tokens; bfloat16,
{megabytes:.1f} MB. Made to be seen at work on 256 ranks of an embedded cluster: it says readable sentences, and its
routing is as uneven as that of real models. `python -m training` (`make train`) makes it again.

## Data
The World English Bible, 66 books without notes and titles: Debian 12's package `{package}`, SHA-256
`{sha256}`.
The text is in the public domain; "World English Bible" is a trademark of eBible.org, and what this model says is not
the World English Bible. One chapter in {every} is held out.

## Training
{steps:,} steps of {tokens_per_step:,} tokens ({seen:.1f} million in all) in windows of {window}, the last fifth of
{long_window}; AdamW, peak rate {rate:g}, seed {seed}, float32, one CPU core. A balance loss of weight {balance:g} keeps
every expert alive: as low as it goes until step {uneven_from:,}, then drawn to {uneven:g} in every layer (1.0 is even):
part of the unevenness below is by design. The same seed gives the same batches; the last bits of a weight are the
machine's.

## Measured on the {held_out_tokens:,} held-out tokens, with the weights as they are in the file
Loss {loss:.3f} nats a token (perplexity {perplexity:.1f}). How many times the mean the busiest expert of a layer is
chosen, and the rarest:

| layer | {layers} |
|---|{rule}|
| busiest | {busiest} |
| rarest | {rarest} |

`loads.json` has every expert's count, in the format of the planner's measured loads.

## Greedy samples
{samples}

## Limits
It has seen one book. It knows its turns of phrase and nothing else: no facts, no instructions, no other language.
Greedy text falls into repetition after a few sentences. Positions beyond {long_window} were never trained. The chat
template only joins what was said, and the model goes on from there.

## Licence
The weights are under the licence of this repository (Apache-2.0).
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the card tells beside its text."""

    parameters: int
    megabytes: float
    recipe: Recipe
    held_out: HeldOut
    samples: list[tuple[str, str]]


def write_card(facts: Facts) -> str:
    """The card's text."""
    recipe, held_out = facts.recipe, facts.held_out
    means = [sum(row) / len(row) for row in held_out.counts]
    return CARD.format(
        parameters=facts.parameters,
        megabytes=facts.megabytes,
        package=corpus.PACKAGE,
        sha256=corpus.SHA256,
        every=corpus.HELD_OUT_EVERY,
        seen=recipe.steps * recipe.tokens_per_step / 1e6,
        held_out_tokens=held_out.tokens,
        loss=held_out.loss,
        perplexity=math.exp(held_out.loss),
        layers=" | ".join(str(layer) for layer in range(len(means))),
        rule="|".join("---" for _ in means),
        busiest=" | ".join(f"{skew:.1f}" for skew in held_out.skews),
        rarest=" | ".join(f"{min(row) / mean:.2f}" for row, mean in zip(held_out.counts, means, strict=True)),
        samples="\n".join(f"> **{beginning}**{_one_line(text)}\n" for beginning, text in facts.samples),
        **{name: getattr(recipe, name) for name in ("steps", "tokens_per_step", "window", "long_window")},
        **{name: getattr(recipe, name) for name in ("rate", "seed", "balance", "uneven_from", "uneven")},
    )


def _one_line(text: str) -> str:
    return " / ".join(text.rstrip().split("\n"))
