"""Times at which something is due, None being never. They are asked for after every event, so no lists are made."""


def sooner(one: float | None, other: float | None) -> float | None:
    """The earlier of the two."""
    if one is None or (other is not None and other < one):
        return other
    return one
