"""`make bench`: how fast the reference deployment of `make demo` serves, by number of streams. Needs it to be up."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.cluster import Cluster, CommandError
from demo.deployed import Deployed
from demo.observe import read_deployment
from demo.streams import Prompt, Stream
from demo.tour import NAME, ROOT, TOKENS_PER_STREAM

NUM_STREAMS = (1, 4, 16, 32)


def main() -> int:
    """Print one row for each number of streams."""
    cluster = Cluster(Path(ROOT / ".moe-local"))
    try:
        cluster.connect()
        found = read_deployment(cluster, NAME)
        if found is None:
            raise CommandError(f"there is no moed/{NAME} in the embedded cluster: run `make demo` first")
        measure(Deployed(cluster=cluster, name=NAME, model=found.served_name))
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.disconnect()
    return 0


def measure(deployed: Deployed) -> None:
    """Run each number of streams to its end and print what came of it."""
    table = Table("streams", "tokens/s", "first token, ms", "between tokens, ms", "worst wait, ms", title=deployed.name)
    url = deployed.url()
    for number in NUM_STREAMS:
        prompts = [Prompt(text=f"Tale {one} of {number}", max_tokens=TOKENS_PER_STREAM) for one in range(number)]
        table.add_row(str(number), *figures(deployed.stream(url, prompts, show=lambda _: None)))
    Console().print(table)


def figures(streams: list[Stream]) -> list[str]:
    """Tokens a second over all streams; means and the worst over them, in milliseconds."""
    errors = [stream.error for stream in streams if stream.error]
    if errors:
        raise CommandError(f"{len(errors)} of {len(streams)} streams failed, the first with: {errors[0]}")
    num_tokens = sum(len(stream.tokens) for stream in streams)
    wall = max(stream.arrivals[-1] for stream in streams) - min(stream.began for stream in streams)
    first = sum(stream.time_to_first_token for stream in streams) / len(streams)
    spans = [(stream.arrivals[-1] - stream.arrivals[0]) / (len(stream.tokens) - 1) for stream in streams]
    worst = max(stream.longest_stall for stream in streams)
    means = (first, sum(spans) / len(spans), worst)
    return [f"{num_tokens / wall:.1f}", *(f"{1000 * one:.0f}" for one in means)]


if __name__ == "__main__":
    sys.exit(main())
