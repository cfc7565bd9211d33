"""Goes through all scenarios, round by round, and keeps what came of each."""

import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from compare import accounting
from compare.failure import Failure

from .contenders import Contender
from .pace import Pace
from .scenarios import Outcome, Scenario
from .stage import Theatre


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
    pace: Pace
    theatre: Theatre
    records: list[Record] = field(default_factory=list)

    def run(self) -> None:
        """Every scenario in every round. In each the proxies take turns."""
        for number in range(1, self.pace.rounds + 1):
            for scenario in self.scenarios:
                if scenario.name == "grow" and number > self.pace.grow_rounds:
                    continue
                taking_part = self.taking_part(scenario)
                # Another one begins in each round.
                first = (number - 1) % len(taking_part) if taking_part else 0
                for contender in taking_part[first:] + taking_part[:first]:
                    self._turn(number, scenario, contender)

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
            with self.theatre.stage(
                contender, backends=scenario.backends, later=scenario.later, seed=number
            ) as stage:
                outcome = scenario.run(stage, self.pace)
        except Failure as reason:
            failure = str(reason)
        took = time.monotonic() - began
        busy = (accounting.machine_cpu_seconds() - busy) / took
        record = Record(number, scenario.name, contender.name, outcome, failure, busy)
        self.records.append(record)
        _say(record, scenario, took)


def _say(record: Record, scenario: Scenario, seconds: float) -> None:
    """Tells the one who waits how it goes."""
    values: dict[str, Any] = record.outcome.values if record.outcome else {}
    said = " ".join(f"{values[figure.name]:.3g}" for figure in scenario.figures if values)
    print(
        f"round {record.round} {record.scenario:5} {record.contender:14} {seconds:5.1f} s  {said}"
        f"  {record.failure or ''}".rstrip(),
        file=sys.stderr,
        flush=True,
    )
