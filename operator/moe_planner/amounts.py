"""Numbers for people: bytes, seconds, rates and counts in the unit that reads best. Words only."""


def gib(value: float) -> str:
    """Bytes, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"


def seconds(value: float) -> str:
    """A duration, e.g. 3.54 ms."""
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if value * factor < 1000:
            return f"{value * factor:.3g} {unit}"
    return f"{value:.3g} s"


def decimal(value: float, unit: str) -> str:
    """A number with a decimal prefix before its unit, e.g. 1.45 GFLOP."""
    for prefix in ("", "k", "M", "G", "T"):
        if value < 1000:
            return f"{value:.4g} {prefix}{unit}"
        value /= 1000
    return f"{value:.4g} P{unit}"


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where there is not one."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def parameters(number: float) -> str:
    """Numbers of a model, e.g. 30.5 billion."""
    return f"{number / 1e9:.4g} billion" if number >= 1e9 else f"{number / 1e6:.4g} million"
