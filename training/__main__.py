"""`python -m training` (`make train`): from the text to the folder that ships. Interrupted, it goes on where it was."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.corpus import CorpusError, read_corpus
from training.loop import Step, Training
from training.model import make_model
from training.publish import publish
from training.recipe import Recipe
from training.routing import RoutingWatch
from training.vocabulary import encode, learn_vocabulary

STEPS_A_LINE = 100
"""Where the output is a file, so many steps are one line."""


def main(arguments: list[str] | None = None) -> int:
    """Train, measure, publish; 1 with one line where the text cannot be had."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    console = Console(highlight=False, soft_wrap=True)
    torch.set_num_threads(options.threads)
    try:
        run(options, console)
    except CorpusError as error:
        console.print(str(error), style="bold red")
        return 1
    return 0


def run(options: argparse.Namespace, console: Console) -> None:
    """Everything, from the text to the folder."""
    recipe = Recipe(steps=options.steps, seed=options.seed)
    text = read_corpus(options.work)
    tokenizer = learn_vocabulary(text.training)
    model = make_model(tokenizer, recipe.seed)
    if options.compile:
        for layer in model.model.layers:
            layer.compile(dynamic=False)
    training = Training(model, RoutingWatch(model), recipe, options.work)
    training.resume()
    with progress(console, recipe.steps) as tell:
        training.run(encode(tokenizer, text.training), tell=tell)
    held_out = encode(tokenizer, text.held_out)
    measured = publish(model, tokenizer, recipe=recipe, held_out_text=held_out, folder=options.folder)
    skews = " ".join(f"{skew:.1f}" for skew in measured.skews)
    console.print(f"{options.folder}: held-out loss {measured.loss:.3f}; busiest expert by layer, x the mean: {skews}")


@contextmanager
def progress(console: Console, steps: int) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal, a line now and then in a file."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", total=steps)

        def tell(step: Step) -> None:
            text = f"loss {step.loss:.3f}, balance {step.balance:.2f}, {step.tokens_per_second:,.0f} tokens/s"
            bars.update(bar, completed=step.number + 1, description=text)
            if not console.is_terminal and (step.number + 1) % STEPS_A_LINE == 0:
                console.print(f"step {step.number + 1} of {steps}: {text}")

        yield tell


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models/speaking"), help="default %(default)s")
    parser.add_argument(
        "--work", type=Path, default=Path(".training"), help="for the text and what a run resumes from; %(default)s"
    )
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="default %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default %(default)s")
    parser.add_argument(
        "--compile", action="store_true", help="compile the layers: a quarter faster, needs a C++ compiler"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
