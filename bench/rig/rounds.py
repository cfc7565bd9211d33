"""Goes through all scenarios, round by round, and keeps what came of each."""

import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol, TypeVar

from . import accounting
from .failure import Failure
from .peers import Peer

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """Something that is measured. None of it says more with more digits."""

    name: str
    title: str
    unit: str


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario."""

    values: dict[str, float]
    # What went wrong for clients, and how often.
    failures: dict[str, int]
    # What the chart is drawn from.
    series: dict[str, Any]


class Contender(Protocol):
    """A proxy that takes part."""

    name: str
    peer: Peer


class Scenario(Protocol):
    """Something that befalls a proxy."""

    name: str
    summary: str
    figures: list[Figure]
    # More rounds would say no more.
    most_rounds: int

    def perform(self, theatre: Any, contender: Any, pace: Any, number: int) -> Outcome:
        """Does it in this round."""
        ...


@dataclass(frozen=True)
class Record:
    """What a proxy did in a scenario of a round, or why there is nothing to tell."""

    round: int
    scenario: str
    contender: str
    outcome: Outcome | None
    failure: str | None = None
    # How busy the whole machine was, in CPUs.
    machine_busy: float = 0.0


@dataclass
class Rounds:
    """All that has to be done, and what has come of it so far."""

    contenders: list[Contender]
    scenarios: list[Scenario]
    # How much is done, and what stages are built with: the scenarios know.
    pace: Any
    theatre: Any
    records: list[Record] = field(default_factory=list)

    def run(self) -> None:
        """Every scenario in every round. In each the proxies take turns."""
        for number in range(1, self.pace.rounds + 1):
            for scenario in self.scenarios:
                if number > scenario.most_rounds:
                    continue
                for contender in in_turn(number, self.taking_part(scenario)):
                    self._turn(number, scenario, contender)

    def versions(self) -> dict[str, str]:
        """What each proxy calls itself."""
        return {one.name: one.peer.version() for one in self.contenders}

    def taking_part(self, scenario: Scenario) -> list[Contender]:
        """Those that the scenario is for."""
        return [one for one in self.contenders if one.peer.takes_part_in(scenario.name)]

    def of(self, scenario: Scenario, name: str) -> list[Record]:
        """What is known of a proxy."""
        return [
            one for one in self.records if (one.scenario, one.contender) == (scenario.name, name)
        ]

    def median(self, scenario: Scenario, name: str, figure: str) -> float | None:
        """The middle of a figure over all rounds that have it."""
        outcomes = [record.outcome for record in self.of(scenario, name) if record.outcome]
        return median(outcome.values[figure] for outcome in outcomes) if outcomes else None

    def _turn(self, number: int, scenario: Scenario, contender: Contender) -> None:
        began, busy = time.monotonic(), accounting.machine_cpu_seconds()
        outcome, failure = None, None
        try:
            outcome = scenario.perform(self.theatre, contender, self.pace, number)
        except Failure as reason:
            failure = str(reason)
        took = time.monotonic() - began
        busy = (accounting.machine_cpu_seconds() - busy) / took
        record = Record(number, scenario.name, contender.name, outcome, failure, busy)
        self.records.append(record)
        _say(record, scenario, took)


def in_turn(number: int, those: list[T]) -> list[T]:
    """Those in the order of the round with this number: another one begins in each."""
    first = (number - 1) % len(those) if those else 0
    return those[first:] + those[:first]


def _say(record: Record, scenario: Scenario, seconds: float) -> None:
    """Tells the one who waits how it goes."""
    values: dict[str, Any] = record.outcome.values if record.outcome else {}
    said = " ".join(f"{values[figure.name]:.3g}" for figure in scenario.figures if values)
    print(
        f"round {record.round} {record.scenario:11} {record.contender:14} {seconds:5.1f} s  {said}"
        f"  {record.failure or ''}".rstrip(),
        file=sys.stderr,
        flush=True,
    )
