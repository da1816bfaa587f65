"""The report's sections of what things cost while nothing fails: CPU time, bookkeeping, an uneven load. Pure."""

from statistics import median

from benchmarks.failover.journal import Journal, Record
from benchmarks.failover.loads import busiest
from benchmarks.failover.markdown import table
from benchmarks.failover.rows import calm_rate, levels

BOOKKEEPING = (
    "Ranks were sampled by their CPU time while sequences ran: {tokens} tokens in {seconds:.0f} s, {stages} stages of"
    " {ranks} ranks, which had {cores:.1f} cores' time of this machine. Signs of life go by the clock, once or twice a"
    " second and rank: the less of a core a rank has, the larger is their share ({by_clock:.2%} here). See"
    " `benchmarks/failover/counted.py` for what is counted."
)
UNEVEN = (
    "All streams asked the same, so that some experts were chosen much. {made} spare copies in {stages} stages, of"
    " {spare} that each might have had, placed by the counted load ({took:.0f} s from the patch until they were at"
    " rest). Ranks share this machine's cores, so tokens/s say little; where each has a device of its own, a stage"
    " waits for its busiest one. Seconds are"
    " a rank's own clock around its experts' passes, waits for a CPU included."
)
UNEVEN_HALTED = "The spare copies were not at rest in time, so what is called after is not that."


def costs(journal: Journal) -> list[str]:
    """Those that there are records for."""
    return [*(_calm(journal, streams) for streams in levels(journal)), _bookkeeping(journal), _uneven(journal)]


def _calm(journal: Journal, streams: int) -> str:
    found, rate = journal.read("calm", streams=streams), calm_rate(journal, streams)
    if rate is None:
        return ""
    between = [gap for one in found for gap in one["between"]]
    tokens = sum(one["tokens"] for one in found)
    cpu: dict[str, float] = {}
    for one in found:
        for role, seconds in one["cpu"].items():
            cpu[role] = cpu.get(role, 0.0) + seconds
    whole = sum(cpu.values())
    lines = [
        [role, f"{1000 * seconds / tokens:.2f}", f"{seconds / whole:.1%}"]
        for role, seconds in sorted(cpu.items(), key=lambda item: -item[1])
    ]
    told = f"{rate:.1f} tokens/s, {1000 * median(between):.0f} ms between two tokens"
    return f"## {streams} streams while nothing fails\n\n{told}.\n\n" + table(
        ["processes", "CPU ms a token", "of all"], lines
    )


def _bookkeeping(journal: Journal) -> str:
    if not journal.read("bookkeeping"):
        return ""
    one = journal.read("bookkeeping")[-1]
    lines = [[name, f"{share:.2%}"] for name, share in one["kinds"].items()]
    functions = [[f"`{name}`", f"{share:.2%}"] for name, share in one["functions"].items()]
    told = BOOKKEEPING.format(**one)
    shares = [table(["bookkeeping", "of the ranks' CPU time"], lines), table(["function", "of it"], functions)]
    return "\n\n".join(["## Bookkeeping", told, *shares])


def _uneven(journal: Journal) -> str:
    if not journal.read("rebalance"):
        return ""
    one = journal.read("rebalance")[-1]
    before, after = one["before"], one["after"]
    lines = [
        [what, *(f"{find(half):.{digits}f}" for half in (before, after))]
        for what, digits, find in (
            ("rows a token of the busiest rank of all", 2, lambda half: _busiest(half, "rows")[0] / half["tokens"]),
            ("passes a token of it", 2, lambda half: _busiest(half, "passes")[0] / half["tokens"]),
            ("device ms a token of it", 3, lambda half: 1000 * _busiest(half, "seconds")[0] / half["tokens"]),
            ("a stage's busiest rank over its mean, rows, median stage", 2, lambda half: _busiest(half, "rows")[1]),
            ("tokens/s", 1, lambda half: half["tokens"] / half["seconds"]),
        )
    ]
    told = UNEVEN_HALTED if one["took"] is None else UNEVEN.format(**one)
    return f"## An uneven load\n\n{told}\n\n" + table(["", "before", "after"], lines)


def _busiest(half: Record, field: str) -> tuple[float, float]:
    stages: dict[str, list[float]] = {}
    for rank in half["ranks"]:
        stages.setdefault(rank["stage"], []).append(rank[field])
    return busiest(stages)
