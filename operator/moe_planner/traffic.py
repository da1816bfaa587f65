"""What crosses the links: rows to experts and back, rows between stages, sums inside a seat. Bytes and links."""

from moe_planner.inputs import Link
from moe_planner.model import ModelShape
from moe_planner.result import Degrees
from moe_planner.speeds import Speeds

# Assumed: sending to many and waiting for the slowest of them takes as long as two messages to one.
_MESSAGES_OF_AN_EXCHANGE = 2


def dispatch_bytes(shape: ModelShape, tokens: float) -> float:
    """One layer's rows on their way to the chosen experts, one way, those that stay on their GPU included."""
    return shape.experts_per_token * boundary_bytes(shape, tokens)


def boundary_bytes(shape: ModelShape, tokens: float) -> float:
    """Rows of hidden size from one stage to the next."""
    return tokens * shape.hidden * shape.bytes_per_number


def transfer_seconds(link: Link, num_bytes: float) -> float:
    return link.latency + num_bytes / link.bandwidth


def exchange(degrees: Degrees, gpus_per_node: int, speeds: Speeds) -> Link | None:
    """One way between a stage's seats, for the bytes that a seat sends; None where one seat has all experts.

    Of what a seat sends, (EP - 1)/EP leaves it. What stays on the node goes over the links inside, the rest over those
    between, at the same time: the slower of the two sets the pace.
    """
    seats = degrees.expert
    if seats == 1:
        return None
    on_node = min(seats, max(1, gpus_per_node // degrees.gpus_per_seat))
    ways = [(speeds.inside, (on_node - 1) / seats), (speeds.between, (seats - on_node) / seats)]
    used = [(link, share) for link, share in ways if share]
    return Link(
        latency=_MESSAGES_OF_AN_EXCHANGE * max(link.latency for link, _ in used),
        bandwidth=min(link.bandwidth / share for link, share in used) * degrees.gpus_per_seat,
    )


def hop(degrees: Degrees, gpus_per_node: int, speeds: Speeds) -> Link:
    """From a stage to the next: between nodes, unless one node holds the whole pipeline."""
    is_inside = degrees.pipeline * degrees.gpus_per_stage <= gpus_per_node
    return speeds.inside if is_inside else speeds.between


def reduction(degrees: Degrees, speeds: Speeds) -> Link:
    """A sum over the two or more GPUs of one seat, around a ring on their node: there and back."""
    share = 2 * (degrees.gpus_per_seat - 1) / degrees.gpus_per_seat
    return Link(latency=2 * speeds.inside.latency, bandwidth=speeds.inside.bandwidth / share)
