from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moe_api.loads import CountedLoads
from moe_api.notes import accepted_spec, home_layout
from moe_api.report import ExpertLoad, Report, SeatReport
from moe_operator.decide.loads import rates_of, take_in
from moe_operator.decide.seats import Seats, find_seats
from moe_operator.snapshot import Pod, StageSnapshot
from tests.moe_operator.world import World

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVERY = timedelta(minutes=10)


async def seats(*counts: dict[int, int], incarnation: int = 1) -> Seats:
    """The first stage of small.yaml with what each of its four ranks reports to have counted."""
    world = World()
    await world.settle()
    stage = await world.stage("small-r0-s00")
    seat = stage.spec.ranks[0]
    reports = [
        SeatReport(
            rank=rank,
            incarnation=incarnation,
            state="serving",
            served=[ExpertLoad(expert=expert, tokens=number) for expert, number in tokens.items()],
        )
        for rank, tokens in enumerate(counts)
    ]
    assert seat.pod_uid is not None
    pod = Pod(name=seat.pod, uid=seat.pod_uid, node_rank=0, attempt=0, report=Report(seats=reports))
    accepted, home = accepted_spec(stage), home_layout(stage)
    snapshot = StageSnapshot(stage=stage, raw={}, accepted=accepted, home=home, pods=(pod,), nodes={})
    return find_seats(snapshot)


async def taken(*counts: dict[int, int]) -> CountedLoads:
    loads = take_in(CountedLoads(), await seats(*counts), every=EVERY, now=NOON)
    assert loads is not None
    return loads


async def test_what_all_hosts_of_an_expert_counted_is_its_load() -> None:
    loads = await taken({0: 30}, {1: 10, 0: 5}, {2: 7}, {3: 1})
    assert loads.tokens == {0: 35, 1: 10, 2: 7, 3: 1}


async def test_what_was_counted_since_the_last_report_counts_and_all_before_it_half() -> None:
    before = await taken({0: 40}, {1: 10}, {2: 7}, {3: 2})
    later = await seats({0: 50}, {1: 30}, {2: 8}, {3: 3})
    loads = take_in(before, later, every=EVERY, now=NOON + EVERY)
    assert loads is not None
    assert loads.tokens == {0: 20 + 10, 1: 5 + 20, 2: 3.5 + 1, 3: 1 + 1}


async def test_a_process_that_was_started_again_counts_from_nothing() -> None:
    before = await taken({0: 40}, {1: 10}, {2: 8}, {3: 2})
    later = await seats({0: 6}, {1: 6}, {2: 6}, {3: 6}, incarnation=2)
    loads = take_in(before, later, every=EVERY, now=NOON + EVERY)
    assert loads is not None
    assert loads.tokens == {0: 26, 1: 11, 2: 10, 3: 7}


async def test_ranks_are_compared_over_the_same_time() -> None:
    before = await taken({0: 40}, {1: 10}, {2: 8}, {3: 2})
    some = await seats({0: 50}, {1: 20}, {2: 18}, {3: 2})
    assert take_in(before, some, every=EVERY, now=NOON + EVERY) is None
    # A rank that tells nothing new for two periods has nothing to do.
    loads = take_in(before, some, every=EVERY, now=NOON + 2 * EVERY)
    assert loads is not None
    assert loads.tokens == {0: 30, 1: 15, 2: 14, 3: 1}


async def test_the_same_reports_are_taken_in_once() -> None:
    counts = ({0: 40}, {1: 10}, {2: 8}, {3: 2})
    before = await taken(*counts)
    assert take_in(before, await seats(*counts), every=EVERY, now=NOON + 9 * EVERY) is None


async def test_the_note_says_the_same_when_it_is_read_again() -> None:
    loads = await taken({0: 40}, {1: 10}, {2: 8}, {3: 2})
    stage = (await seats()).snapshot.stage
    noted = stage.model_copy(update={"metadata": stage.metadata.model_copy(update={"annotations": loads.to_note()})})
    assert CountedLoads.of(noted) == loads
    assert CountedLoads.of(stage) == CountedLoads()


async def test_rates_are_known_once_enough_was_counted() -> None:
    spec = (await seats()).snapshot.stage.spec
    assert rates_of(CountedLoads(tokens={0: 200, 1: 100, 2: 50, 3: 49}), spec) is None
    # Two of four experts for each token: 300 of 600 choices of two experts are one for each token.
    assert rates_of(CountedLoads(tokens={0: 300, 1: 150, 2: 75, 3: 75}), spec) == {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.25}
