"""The scenarios: what befalls the crowd, and which figures come of it."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rig.rounds import Figure, Outcome

from . import journals
from .contenders import Contender
from .journals import BackendStory, CrowdStory
from .pace import BACKENDS, Pace
from .stage import Stage, Theatre

# How fine the charts are, in seconds.
STEP = 0.25


@dataclass(frozen=True)
class Scenario:
    """Something that befalls a crowd."""

    name: str
    summary: str
    # Backends at the beginning, and those that join later.
    backends: int
    later: int
    figures: list[Figure]
    run: Callable[[Stage, Pace], Outcome]
    most_rounds: int = sys.maxsize

    def perform(self, theatre: Theatre, contender: Contender, pace: Pace, number: int) -> Outcome:
        """Does it in this round."""
        with theatre.stage(
            contender, backends=self.backends, later=self.later, seed=number
        ) as stage:
            return self.run(stage, pace)


_STORM = [
    Figure("back.90", "without a tunnel, 90 % of the clients less than", "s"),
    Figure("back.99", "… 99 %", "s"),
    Figure("back.all", "… all", "s"),
    Figure("all-back-at", "all tunnels are open again after", "s"),
    Figure("tries.mean", "tries a client, mean", ""),
    Figure("tries.max", "… most", ""),
    Figure("failed", "tries that failed", ""),
    Figure("asked", "handshakes backends got, a client", ""),
    Figure("worst-second", "… in the worst second of the worst backend", ""),
    Figure("longest-wait", "longest wait for a 101", "s"),
    Figure("fewest", "tunnels at the end, fewest of a backend", ""),
    Figure("most", "… most", ""),
    Figure("cpu", "CPU of the proxy", "s"),
]

_GROW = [
    Figure("share", "tunnels on the new backend at the end", "%"),
    Figure("even-after", "it has 30 % after", "s"),
    Figure("moved", "tunnels closed", ""),
    Figure("tries.mean", "tries a client that lost its tunnel, mean", ""),
    Figure("tries.max", "… most", ""),
    Figure("failed", "tries that failed", ""),
    Figure("back.99", "without a tunnel, 99 % of those less than", "s"),
    Figure("worst-second", "handshakes the new backend got in its worst second", ""),
]


def _kill(stage: Stage, pace: Pace) -> Outcome:
    began, cpu = _prepare(stage, pace.tunnels, pace)
    stage.backends[0].kill()
    time.sleep(1)
    stage.wait_for(pace.tunnels, began + pace.limit)
    return _storm(stage, began, cpu)


def _cold(stage: Stage, pace: Pace) -> Outcome:
    began, cpu = _prepare(stage, pace.tunnels, pace)
    returning = stage.backends[0]
    returning.kill()
    stage.crowd.arrive(pace.newcomers, pace.newcomers_for)
    _sleep_until(began + pace.away)
    returning.start(pace.cold * pace.work)
    _sleep_until(began + pace.away + pace.cold_for)
    returning.work(pace.work)
    _sleep_until(began + pace.newcomers_for)
    stage.wait_for(pace.tunnels + pace.newcomers, began + pace.limit)
    return _storm(stage, began, cpu)


def _blink(stage: Stage, pace: Pace) -> Outcome:
    began, cpu = _prepare(stage, pace.tunnels, pace)
    stage.crowd.drop()
    time.sleep(1)
    stage.wait_for(pace.tunnels, began + pace.limit)
    return _storm(stage, began, cpu)


def _grow(stage: Stage, pace: Pace) -> Outcome:
    began, _ = _prepare(stage, pace.settled, pace)
    *settled, joining = stage.backends
    joining.start(pace.work)
    stage.admit([backend.port for backend in stage.backends])
    stage.crowd.arrive(pace.passers_by, pace.watched)
    _sleep_until(began + pace.watched)
    clients, backends = _stories(stage, began)
    times = _times(began)
    held = zip(*(story.tunnels_at(times) for story in backends), strict=True)
    shares = [100 * counts[-1] / max(1, sum(counts)) for counts in held]
    even = (at for at, share in zip(times, shares, strict=True) if share >= 30)
    lost = clients.of_the_lost()
    values = {
        "share": shares[-1],
        "even-after": next(even, float("inf")),
        "moved": sum(client.times_lost for client in lost.clients),
        "worst-second": backends[-1].worst_second(),
        "back.99": lost.quantile(0.99),
    } | _tries(lost)
    return Outcome(values, dict(clients.failures()), _series(clients, backends, times))


def _prepare(stage: Stage, tunnels: int, pace: Pace) -> tuple[float, float]:
    """Opens all tunnels at no cost. The time when all has settled, and the CPU until then."""
    stage.crowd.open(tunnels)
    for backend in stage.backends:
        if backend.process:
            backend.work(pace.work)
    time.sleep(0.5)
    return time.time(), stage.cpu_seconds()


def _storm(stage: Stage, began: float, cpu: float) -> Outcome:
    used = stage.cpu_seconds() - cpu
    clients, backends = _stories(stage, began)
    times = _times(began)
    ends = [story.tunnels_at(times[-1:])[0] for story in backends]
    is_up = [backend.process is not None for backend in stage.backends]
    standing = [count for count, up in zip(ends, is_up, strict=True) if up]
    asked = sum(story.asked_between(0, float("inf")) for story in backends)
    values = {
        "back.90": clients.quantile(0.9),
        "back.99": clients.quantile(0.99),
        "back.all": clients.quantile(1),
        "all-back-at": max((client.back_at for client in clients.clients), default=0),
        "asked": asked / max(1, len(clients.clients)),
        "worst-second": max(story.worst_second() for story in backends),
        "longest-wait": max((client.longest_wait for client in clients.clients), default=0),
        "fewest": min(standing),
        "most": max(standing),
        "cpu": used,
    } | _tries(clients)
    return Outcome(values, dict(clients.failures()), _series(clients, backends, times))


def _stories(stage: Stage, began: float) -> tuple[CrowdStory, list[BackendStory]]:
    clients = journals.crowd(stage.crowd.journal, began)
    return clients, [journals.backend(one.journals, began) for one in stage.backends]


def _tries(clients: CrowdStory) -> dict[str, float]:
    tries = [client.tries for client in clients.clients] or [0]
    return {
        "tries.mean": sum(tries) / len(tries),
        "tries.max": max(tries),
        "failed": clients.failures().total(),
    }


def _times(began: float) -> list[float]:
    """From just before the story until now."""
    steps = round((time.time() - began) / STEP)
    return [step * STEP for step in range(-1, steps + 1)]


def _series(
    clients: CrowdStory, backends: list[BackendStory], times: list[float]
) -> dict[str, Any]:
    return {
        "times": times,
        "open": clients.open_at(times),
        "asked": [[one.asked_between(at - STEP, at) for at in times] for one in backends],
        "tunnels": [one.tunnels_at(times) for one in backends],
    }


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


SCENARIOS = [
    Scenario("kill", "one of four backends is killed", BACKENDS, 0, _STORM, _kill),
    Scenario(
        "cold",
        "the same, it comes back with cold caches, and new clients arrive all the while",
        BACKENDS,
        0,
        _STORM,
        _cold,
    ),
    Scenario("blink", "all clients lose their tunnels at once", BACKENDS, 0, _STORM, _blink),
    # Nothing in it is left to chance.
    Scenario("grow", "a third backend joins two that have all tunnels", 2, 1, _GROW, _grow, 1),
]
