"""Which functions of a rank are bookkeeping: what a pipeline that restarts as a group could leave out. Pure.

What is one comparison or one addition within a function that is needed anyway (a step's term, an attempt's number on
the wire, the rows that an expert has served) cannot be told apart and is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Place = tuple[str, str]
"""A file's name and a function's, of a frame."""
BY_CLOCK = "signs of life, reports"
"""Most of it once or twice a second whatever the rank has to do: the slower tokens come, the larger is its share."""
OURS = ("moe_worker", "moe_wire")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of bookkeeping. `whole` functions count with all that they call, `own` files with their own lines only:
    what they call is needed anyway.
    """

    name: str
    whole: frozenset[Place] = frozenset()
    own: frozenset[str] = frozenset()


def _of(file: str, *functions: str) -> set[Place]:
    return {(file, function) for function in functions}


KINDS = (
    Kind(
        name=BY_CLOCK,
        whole=frozenset(
            _of("rank_loop.py", "_beat", "_tell", "_tell_changes")
            | _of("rank.py", "num_changes", "num_done")
            | _of("control.py", "beat")
        ),
        own=frozenset({"heartbeats.py"}),
    ),
    Kind(
        name="whom a sub-batch was asked of",
        whole=frozenset(_of("links.py", "is_connected")),
        own=frozenset({"requests.py"}),
    ),
    Kind(
        name="deadlines",
        whole=frozenset(
            _of("rank_loop.py", "_wait") | _of("rank.py", "_look_ahead", "tick") | _of("deadlines.py", "sooner")
        ),
    ),
    Kind(name="device health", whole=frozenset(_of("health.py", "check") | _of("cpu.py", "check"))),
    Kind(name="service times", own=frozenset({"service_times.py", "histogram.py"})),
)


def kind_of(stack: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The kind that a sample belongs to, and the function that says so; None for what is needed anyway.

    `stack` has the paths of files and the functions, innermost first.
    """
    for depth, (path, function) in enumerate(stack):
        file = path.rpartition("/")[2]
        if any(part in path for part in OURS):
            for kind in KINDS:
                if (file, function) in kind.whole or (depth == 0 and file in kind.own):
                    return kind.name, f"{file}:{function}"
    return None
