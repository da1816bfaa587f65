"""Rules of the operator, the supervisor and the gateway, each broken in one place, and the tests that must then fail.

A mutant is one text in one file and what stands there instead. The protocol's own mutants are in
tests/moe_worker/protocol/simulation/mutants.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`file` is below the repository; `text` stands in it exactly once. `tests` are given to pytest."""

    file: str
    text: str
    instead: str
    tests: tuple[str, ...]


DECIDE = "operator/moe_operator/decide"
SEATS = "worker/moe_worker/supervisor/seat.py"

MUTANTS: dict[str, Mutant] = {
    "forgets the quarantine": Mutant(
        file=f"{DECIDE}/history.py",
        text="return {rank: end for rank, end in ends.items() if end is not None and end > now}",
        instead="return {}",
        tests=("tests/moe_operator/test_history.py",),
    ),
    "a GPU that fails again is kept away no longer than at first": Mutant(
        file=f"{DECIDE}/history.py",
        text="failures = records[node, gpu].failures + 1 if (node, gpu) in records else 1",
        instead="failures = 1",
        tests=("tests/moe_operator/test_history.py",),
    ),
    "remembers failures for ever": Mutant(
        file=f"{DECIDE}/history.py",
        text="return last is not None and now - last < MEMORY",
        instead="return last is not None",
        tests=("tests/moe_operator/test_history.py",),
    ),
    "does not hear that a person cleared a GPU": Mutant(
        file=f"{DECIDE}/history.py",
        text="return is_meant and at is not None and last is not None and last <= at",
        instead="return False",
        tests=("tests/moe_operator/test_history.py",),
    ),
    "the breaker never opens": Mutant(
        file=f"{DECIDE}/storm.py",
        text="return PauseSpec(since=rfc3339(now), message=message)",
        instead="return None",
        tests=("tests/moe_operator/test_storm.py",),
    ),
    "the breaker does not close by a person's word": Mutant(
        file=f"{DECIDE}/storm.py",
        text='return moment_of(spec.failover.breaker_released or "") or otherwise',
        instead="return otherwise",
        tests=("tests/moe_operator/test_storm.py",),
    ),
    "one peer's word silences a pod": Mutant(
        file=f"{DECIDE}/silence.py",
        text="if votes[one] * 2 > len(left) - 1 - (one in agreed)]",
        instead="if votes[one]]",
        tests=("tests/moe_operator/test_silence.py",),
    ),
    "a pod is silent at the first complaint": Mutant(
        file=f"{DECIDE}/silence.py",
        text="if now - since >= SILENT_AFTER}",
        instead="}",
        tests=("tests/moe_operator/test_silence.py",),
    ),
    "a person's word clears every GPU of the node, whatever it is called": Mutant(
        file="operator/moe_api/engine.py",
        text=" and self.uuid in (None, uuid)",
        instead="",
        tests=("tests/moe_operator/test_history.py",),
    ),
    "a taint of a device is not heard": Mutant(
        file=f"{DECIDE}/reported.py",
        text=", *_device_taints(node, seats.snapshot.device_taints)]",
        instead="]",
        tests=("tests/moe_operator/test_reported.py",),
    ),
    "a place that is unknown is passed over in silence": Mutant(
        file="operator/moe_operator/status/places.py",
        text="if place.node not in nodes:",
        instead="if not place.node:",
        tests=("tests/moe_operator/test_places.py",),
    ),
    "a spare copy is kept that relieves nobody": Mutant(
        file="operator/moe_planner/sparing.py",
        text="if busyness.most > most * _AS_BUSY:",
        instead="if most:",
        tests=("tests/moe_planner/test_sparing.py",),
    ),
    "an evacuated GPU is not left": Mutant(
        file=f"{DECIDE}/leaving.py",
        text="return place.means(pod.node, seat.gpu, uuid)",
        instead="return False",
        tests=("tests/moe_operator",),
    ),
    "a pod's name is used again": Mutant(
        file=f"{DECIDE}/stage.py",
        text="return max(attempts)",
        instead="return 0",
        tests=("tests/moe_operator/test_reconcile.py", "tests/moe_operator/test_model.py"),
    ),
    "restarts are not counted": Mutant(
        file=SEATS,
        text="if self._is_over_budget or len(self._deaths) > rules.restart_budget:",
        instead="if self._is_over_budget:",
        tests=("tests/moe_worker/supervisor",),
    ),
    "a rank that loads for long is killed as hung": Mutant(
        file=SEATS,
        text="rules.heartbeat_seconds if self._has_beaten else START_LIMIT_S",
        instead="rules.heartbeat_seconds",
        tests=("tests/moe_worker/supervisor",),
    ),
    "a token that came twice is taken twice": Mutant(
        file="worker/moe_gateway/stream.py",
        text="if position < known:",
        instead="if position < known - 1:",
        tests=("tests/moe_gateway/test_stream.py", "tests/moe_gateway/test_balancer.py"),
    ),
    "a stream goes on over a missing token": Mutant(
        file="worker/moe_gateway/stream.py",
        text="""            return Verdict.GAP
        if position < known:
""",
        instead="""            pass
        if position < known:
""",
        tests=("tests/moe_gateway/test_stream.py", "tests/moe_gateway/test_balancer.py"),
    ),
    "a lost head's requests are forgotten": Mutant(
        file="worker/moe_gateway/balancer.py",
        text="""        for place in head.places.values():
            self._resubmit(place)
""",
        instead="",
        tests=("tests/moe_gateway/test_balancer.py",),
    ),
    "an expert whose only host is lost stays there": Mutant(
        file="operator/moe_planner/rehost.py",
        text="orphans = [expert for expert in stage.experts if expert not in served]",
        instead="orphans: list[int] = []",
        tests=("tests/moe_planner/test_rehost.py",),
    ),
    "a live copy does not spare a load": Mutant(
        file="operator/moe_planner/rehost.py",
        text="orphans = [expert for expert in stage.experts if expert not in served]",
        instead="orphans = list(stage.experts)",
        tests=("tests/moe_planner/test_rehost.py",),
    ),
    "an expert is given to a masked rank": Mutant(
        file="operator/moe_planner/rehost.py",
        text="""            if rank not in self._masked
        ]""",
        instead="        ]",
        tests=("tests/moe_planner/test_rehost.py",),
    ),
    "a peer that has come back is waited for": Mutant(
        file="worker/moe_worker/transport/tcp.py",
        text="        self._dial_back(hello)\n",
        instead="",
        tests=("tests/moe_worker/transport/test_tcp.py",),
    ),
    "a broken device is told of when its process has ended": Mutant(
        file=SEATS,
        text="self._broke(self._last_words)",
        instead="pass",
        tests=("tests/moe_worker/supervisor",),
    ),
}
