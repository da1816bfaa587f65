from math import inf

from moe_gateway.balancer import Balancer
from moe_gateway.errors import going_away
from moe_gateway.metrics import Metrics
from moe_gateway.router import HeadKey
from moe_gateway.stream import Generation
from moe_wire.messages import Cancel, Emitted, Load, Refused, Reset, Returned, Sampling
from tests.moe_gateway.fakes import Clock, FakeLink

HOLD = 30.0


class Scene:
    """A balancer, its clock, and generations that nobody reads."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics("m")
        self.balancer = Balancer(hold_seconds=HOLD, now=self.clock, metrics=self.metrics)
        self.metrics.follow(self.balancer)

    def link(self, rank: int = 0) -> FakeLink:
        link = FakeLink(rank)
        self.balancer.connected(link)
        return link

    def open(self, *prompt: int, max_tokens: int = 10, limit_seconds: float = inf) -> Generation:
        generation = Generation(
            name="r",
            prompt=prompt or (1, 2),
            sampling=Sampling(temperature=1.0, seed=9),
            max_tokens=max_tokens,
            stop_tokens=(99,),
            wake=lambda: None,
            limit_seconds=limit_seconds,
        )
        self.balancer.open(generation)
        return generation

    def emit(self, link: FakeLink, *tokens: int, start: int = 0, finish: str = "") -> None:
        request = link.submits[-1].request
        for position, token in enumerate(tokens, start):
            self.balancer.received(link, Emitted(request, position, token, finish))


def test_a_request_goes_to_a_head_as_it_is() -> None:
    scene = Scene()
    link = scene.link()
    scene.open(4, 5)
    [submit] = link.submits
    assert (submit.prompt, submit.generated, submit.max_tokens, submit.stop_tokens) == ((4, 5), (), 10, (99,))
    assert submit.sampling == Sampling(temperature=1.0, seed=9)
    assert len(submit.request) == 16


def test_a_request_without_a_head_goes_to_the_first_that_comes() -> None:
    scene = Scene()
    scene.open(4)
    assert scene.balancer.num_waiting == 1
    assert len(scene.link().submits) == 1
    assert scene.balancer.num_waiting == 0


def test_a_lost_head_s_requests_go_on_elsewhere_with_what_they_have() -> None:
    scene = Scene()
    first = scene.link(0)
    generation = scene.open()
    scene.emit(first, 7, 8)
    second = scene.link(1)
    scene.balancer.lost(first)
    [again] = second.submits
    assert again.generated == (7, 8)
    assert again.sampling == first.submits[0].sampling
    scene.emit(second, 9, start=2, finish="stop")
    assert generation.tokens == [7, 8, 9]
    assert generation.finish == "stop"
    assert scene.balancer.num_live == 0


def test_a_late_word_of_an_earlier_head_is_nobody_s() -> None:
    scene = Scene()
    first = scene.link(0)
    generation = scene.open()
    second = scene.link(1)
    scene.balancer.received(first, Returned(first.submits[0].request, "drained"))
    assert len(second.submits) == 1
    scene.emit(first, 7)
    assert generation.tokens == []


def test_a_returned_request_avoids_its_head() -> None:
    scene = Scene()
    links = [scene.link(rank) for rank in range(3)]
    scene.open()
    [holder] = [link for link in links if link.submits]
    scene.balancer.received(holder, Returned(holder.submits[0].request, "no blocks"))
    assert len(holder.submits) == 1
    assert sum(len(link.submits) for link in links) == 2


def test_the_only_head_is_asked_again_after_a_while_that_grows() -> None:
    scene = Scene()
    link = scene.link()
    scene.open()
    waits = []
    for _ in range(8):
        num, start = len(link.submits), scene.clock.seconds
        scene.balancer.received(link, Returned(link.submits[-1].request, "not live"))
        while len(link.submits) == num:
            scene.clock.seconds += 0.01
            scene.balancer.tick()
        waits.append(round(scene.clock.seconds - start, 2))
    assert waits == sorted(waits)
    assert waits[0] < 0.1
    assert 0.4 < waits[-1] < 0.6


def test_waiting_longer_than_the_hold_time_is_an_error_with_retry_after() -> None:
    scene = Scene()
    generation = scene.open()
    scene.clock.seconds = HOLD - 0.1
    scene.balancer.tick()
    assert generation.failure is None
    scene.clock.seconds = HOLD
    scene.balancer.tick()
    assert generation.failure is not None
    assert (generation.failure.status, generation.failure.code) == (503, "no_capacity")
    assert generation.failure.headers == {"Retry-After": "30"}
    assert scene.balancer.num_live == 0


def test_the_hold_time_begins_anew_with_every_token() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.clock.seconds = HOLD - 1
    scene.emit(link, 7)
    scene.balancer.lost(link)
    scene.clock.seconds = 2 * HOLD - 2
    scene.balancer.tick()
    assert generation.failure is None


def test_a_head_that_has_gone_silent_altogether_is_no_capacity() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.clock.seconds = HOLD
    scene.balancer.tick()
    assert generation.failure is not None
    assert link.sent[-1] == Cancel(link.submits[0].request)


def test_a_long_queue_at_a_working_head_is_no_failure() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.open()
    scene.clock.seconds = HOLD + 5
    scene.emit(link, 7)
    scene.balancer.tick()
    assert generation.failure is None


def test_a_cancelled_request_is_cancelled_at_its_head_at_once() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.balancer.cancel(generation)
    assert link.cancels == [link.submits[0].request]
    assert scene.balancer.num_live == 0
    scene.balancer.cancel(generation)
    assert len(link.cancels) == 1


def test_a_finished_request_is_not_cancelled() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.emit(link, 7, finish="length")
    scene.balancer.cancel(generation)
    assert link.cancels == []
    assert not generation.cancelled


def test_a_gap_gives_the_connection_up_and_nothing_is_taken() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.emit(link, 7, start=1)
    assert link.aborted
    assert generation.tokens == []
    assert scene.balancer.counts.gaps == 1


def test_a_contradicted_token_stands_and_is_counted() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.emit(link, 7)
    scene.emit(link, 8)
    assert generation.tokens == [7]
    assert scene.balancer.counts.mismatches == 1


def test_a_refusal_is_the_user_s_error() -> None:
    scene = Scene()
    link = scene.link()
    generation = scene.open()
    scene.balancer.received(link, Refused(link.submits[0].request, "context_length_exceeded", "too long"))
    assert generation.failure is not None
    assert (generation.failure.status, generation.failure.code) == (400, "context_length_exceeded")
    assert scene.balancer.num_live == 0


def test_a_head_that_talks_like_a_rank_is_given_up() -> None:
    scene = Scene()
    link = scene.link()
    scene.balancer.received(link, Reset(0, 1))
    assert "Reset" in link.aborted


def test_the_loss_of_an_older_connection_does_not_touch_the_newer() -> None:
    scene = Scene()
    old, new = FakeLink(), FakeLink()
    scene.balancer.connected(old)
    scene.balancer.lost(old)
    scene.balancer.connected(new)
    scene.open()
    scene.balancer.lost(old)
    assert scene.balancer.num_heads == 1
    assert scene.balancer.num_waiting == 0


def refuse(scene: Scene, link: FakeLink) -> None:
    scene.balancer.received(link, Refused(link.submits[-1].request, "overloaded", "8 requests wait."))


def test_an_overloaded_head_s_request_goes_to_each_other_one_and_is_then_turned_away() -> None:
    scene = Scene()
    links = [scene.link(rank) for rank in range(3)]
    generation = scene.open()
    for _ in range(3):
        assert generation.failure is None
        [holder] = [link for link in links if link.submits and not link.aborted]
        refuse(scene, holder)
        holder.sent.clear()
    assert generation.failure is not None
    assert (generation.failure.status, generation.failure.code) == (429, "rate_limit_exceeded")
    assert generation.failure.headers == {"Retry-After": "1"}
    assert scene.balancer.num_live == 0


def test_an_answer_that_has_begun_is_never_turned_away() -> None:
    scene = Scene()
    first = scene.link(0)
    generation = scene.open()
    scene.emit(first, 7)
    second = scene.link(1)
    scene.balancer.lost(first)
    refuse(scene, second)
    assert generation.failure is None
    scene.clock.seconds = 1
    scene.balancer.tick()
    assert second.submits[-1].generated == (7,)
    assert len(second.submits) == 2


def test_a_request_has_its_time_and_no_more_even_while_tokens_come() -> None:
    scene = Scene()
    link = scene.link()
    generation, other = scene.open(limit_seconds=2), scene.open()
    scene.clock.seconds = 1.9
    scene.balancer.received(link, Emitted(link.submits[0].request, 0, 7, ""))
    scene.balancer.tick()
    assert generation.failure is None
    scene.clock.seconds = 2
    scene.balancer.tick()
    assert generation.failure is not None
    assert (generation.failure.status, generation.failure.code) == (504, "deadline_exceeded")
    assert link.cancels == [link.submits[0].request]
    assert other.failure is None


def test_the_end_of_the_gateway_ends_all_and_frees_the_heads() -> None:
    scene = Scene()
    link = scene.link()
    generations = [scene.open(), scene.open()]
    scene.balancer.fail_all(going_away())
    assert [one.failure.code for one in generations if one.failure] == ["gateway_stopping"] * 2
    assert len(link.cancels) == 2
    assert scene.balancer.num_live == 0


def test_what_other_gateways_have_given_a_head_counts() -> None:
    scene = Scene()
    first, second = scene.link(0), scene.link(1)
    scene.balancer.received(
        first, Load(waiting=3, running=2, blocks=9, blocks_used=1, tokens_admitted=0, tokens_found=0)
    )
    for _ in range(5):
        scene.open()
    assert (len(first.submits), len(second.submits)) == (0, 5)
    scene.balancer.received(
        first, Load(waiting=0, running=0, blocks=9, blocks_used=1, tokens_admitted=0, tokens_found=0)
    )
    scene.open()
    assert len(first.submits) == 1


def test_a_request_for_one_replica_waits_for_it_and_is_turned_away_by_it_alone() -> None:
    scene = Scene()
    scene.link(0)
    generation = Generation(
        name="r", prompt=(1,), sampling=Sampling(), max_tokens=1, stop_tokens=(), wake=lambda: None, replica=1
    )
    scene.balancer.open(generation)
    assert scene.balancer.num_waiting == 1
    link = FakeLink(4)
    link.key = HeadKey(replica=1, rank=4, pod_uid="pod")
    scene.balancer.connected(link)
    assert len(link.submits) == 1
    scene.balancer.received(link, Refused(link.submits[0].request, "overloaded", "8 requests wait."))
    assert generation.failure is not None


def test_a_model_without_a_next_token_is_a_server_s_error_and_not_tried_again() -> None:
    scene = Scene()
    first, second = scene.link(0), scene.link(1)
    generation = scene.open()
    scene.balancer.received(first, Refused(first.submits[0].request, "not_finite", "infinite or NaN"))
    assert generation.failure is not None
    assert (generation.failure.status, generation.failure.code) == (500, "not_finite")
    assert (second.submits, scene.balancer.num_live) == ([], 0)
