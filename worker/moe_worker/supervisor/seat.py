"""One seat's life as its supervisor sees it: when to fork, when to kill, when its GPU counts as failed.

Pure: it is told what happened and when (`now`, monotonic seconds), and asked what to do. No processes, no clock, no
API.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from moe_worker.errors import EXIT_DEVICE, EXIT_MODEL

BUDGET_WINDOW_S = 60.0
START_LIMIT_S = 600.0
DEVICE_RETRY_S = (1.0, 30.0)
BUDGET_RETRY_S = (5.0, 60.0)

State = Literal["starting", "serving", "failed"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """From spec.failover: silence that counts as a hang, and re-forks of one seat within 60 s before its GPU is
    failed.
    """

    heartbeat_seconds: float
    restart_budget: int


class Seat:
    """`gpu_id` is what the device plugin calls the GPU, "" until a rank has said it. `reason` says why the GPU is
    unhealthy, "" while it is healthy, `is_rehearsed` whether only because of a drill; `error` why the model cannot be
    served at all.
    """

    def __init__(self, rank: int, gpu: int, address: str) -> None:
        self.rank = rank
        self.gpu = gpu
        self.gpu_id = ""
        self.address = address
        self.state: State = "starting"
        self.incarnation = 0
        self.restarts = 0
        self.reason = ""
        self.is_rehearsed = False
        self.error = ""
        self.epoch = 0
        self.experts: tuple[int, ...] = ()
        self.loading: tuple[int, ...] = ()
        self.failed_experts: Mapping[int, str] = {}
        self.unreachable: Mapping[int, float] = {}
        self.expert_tokens: Mapping[int, int] = {}
        self.lane_figures: tuple[Mapping[str, int], ...] = ()
        self.service_us: Mapping[int, int] = {}
        self.figures: Mapping[str, Any] = {}
        self.is_running = False
        self._forked_incarnation = 0
        self._has_served = False
        self._last_words = ""
        self._deaths: deque[float] = deque()
        self._served_at = 0.0
        self._retry_at = 0.0
        self._retry_s = 0.0
        self._is_over_budget = False
        self._broken_until = 0.0
        self._silent_at = 0.0
        self._has_beaten = False

    def may_fork(self, now: float) -> bool:
        return not self.is_running and now >= self._retry_at

    def retry_at(self) -> float | None:
        """When may_fork() becomes true; None while a process runs."""
        return None if self.is_running else self._retry_at

    def forked(self, incarnation: int, now: float) -> None:
        self.is_running = True
        self._forked_incarnation = incarnation
        self._has_served = self._has_beaten = False
        self._last_words = ""
        self._silent_at = now
        if self.state != "failed":
            self.state = "starting"
            self.incarnation = incarnation

    def could_not_fork(self, reason: str, now: float) -> None:
        """What a fork needs is not there: nobody drives the GPU. Tried again, ever more slowly."""
        self.reason, self.is_rehearsed, self.state = reason, False, "failed"
        self._back_off(DEVICE_RETRY_S, now)

    def beat(self, last: float) -> None:
        """When the process gave its last sign of life."""
        self._has_beaten = True
        self._silent_at = max(self._silent_at, last)

    def forgive(self, seconds: float) -> None:
        """The supervisor itself slept, or the rank waited for a CPU, for that long: no silence of the rank's."""
        self._silent_at += seconds

    def silence(self, now: float) -> float:
        """Seconds without a sign of life; 0 while the rank is not running."""
        return now - self._silent_at if self.is_running else 0.0

    def is_hung(self, now: float, rules: Rules) -> bool:
        """Before its first beat a rank opens its device and reads weights, which may take long and is no hang."""
        return self.silence(now) > (rules.heartbeat_seconds if self._has_beaten else START_LIMIT_S)

    def hung(self, now: float) -> None:
        """It is being killed for its silence."""
        self._last_words = f"no sign of life for {self.silence(now):.1f} s"
        self._silent_at = now

    def take_for_broken(self, reason: str, until: float) -> None:
        """A drill: as if the GPU had failed and were well again at `until`. The process in the seat is being killed."""
        self.reason, self.is_rehearsed, self.state = reason, True, "failed"
        self._broken_until = self._retry_at = until

    def heard(self, words: Mapping[str, Any], now: float) -> None:
        """The rank said something about itself."""
        self._silent_at = now
        if "gpu_id" in words:
            self.gpu_id = words["gpu_id"]
            return
        if "last_words" in words:
            self._last_words = words["last_words"]
            if words.get("code") == EXIT_DEVICE and not self._has_served:
                # Its end takes a process of torch's size a tenth of a second more, and streams wait.
                self._broke(self._last_words)
            return
        if "load" in words:
            self.expert_tokens = dict(words["load"]["experts"])
            self.lane_figures = tuple(words["load"]["lanes"])
            self.figures = words["load"].get("figures", {})
            return
        if "service_us" in words:
            self.service_us = dict(words["service_us"])
            return
        if not self._has_served:
            self._has_served, self._served_at = True, now
            self.error = ""
        self.epoch = words["epoch"]
        self.experts = tuple(words["held"])
        self.loading = tuple(words["loading"])
        self.failed_experts = dict(words["failed"])
        self.unreachable = dict(words["unreachable"])
        self._heal(now)

    def tick(self, now: float) -> None:
        """A seat over its budget heals by a rank that stays alive for the whole window."""
        if self.is_running and self._has_served:
            self._heal(now)

    def exited(self, code: int | None, how: str, now: float, rules: Rules) -> None:
        """The process is gone: by exit status `code`, or by a signal (None); `how` says it in words."""
        reason = self._last_words or how
        has_served, self.is_running = self._has_served, False
        self.experts = self.loading = ()
        self.failed_experts, self.unreachable = {}, {}
        self.expert_tokens, self.lane_figures, self.service_us, self.figures = {}, (), {}, {}
        if now < self._broken_until:
            return
        if code == EXIT_MODEL:
            self.error, self.state = reason, "failed"
            self._back_off(DEVICE_RETRY_S, now)
        elif code == EXIT_DEVICE and not has_served:
            self._broke(reason)
            self._back_off(DEVICE_RETRY_S, now)
        else:
            self._died(reason, now, rules)

    def _broke(self, reason: str) -> None:
        """The device is bad, by the first words for it; those of a drill are none."""
        if self.is_rehearsed or not self.reason:
            self.reason = reason
        self.is_rehearsed, self.state = False, "failed"

    def _died(self, reason: str, now: float, rules: Rules) -> None:
        self._deaths.append(now)
        while self._deaths[0] < now - BUDGET_WINDOW_S:
            self._deaths.popleft()
        if self._is_over_budget or len(self._deaths) > rules.restart_budget:
            if not self._is_over_budget:
                self.reason = f"rank died {len(self._deaths)} times in {BUDGET_WINDOW_S:.0f} s: {reason}"
            self._is_over_budget, self.is_rehearsed, self.state = True, False, "failed"
            self._back_off(BUDGET_RETRY_S, now)
            return
        self.restarts += 1
        self._retry_at = now
        if self.state != "failed":
            self.state = "starting"

    def _back_off(self, limits: tuple[float, float], now: float) -> None:
        first, last = limits
        self._retry_s = min(max(self._retry_s * 2, first), last)
        self._retry_at = now + self._retry_s

    def _heal(self, now: float) -> None:
        if now < self._broken_until or (self._is_over_budget and now - self._served_at < BUDGET_WINDOW_S):
            return
        self._is_over_budget = self.is_rehearsed = False
        self.reason = ""
        self._retry_s = 0.0
        self.state = "serving"
        self.incarnation = self._forked_incarnation
