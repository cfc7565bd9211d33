"""What is done to a proxy."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from rig.rounds import Figure, Outcome

from . import certificate, endurance, reloads, stop, upgrade
from .contenders import Contender
from .pace import Pace
from .stage import Stage, Theatre


@dataclass(frozen=True)
class Scenario:
    """An operation, or many."""

    name: str
    summary: str
    figures: list[Figure]
    run: Callable[[Stage, Pace], Outcome]
    most_rounds: int = sys.maxsize

    def perform(self, theatre: Theatre, contender: Contender, pace: Pace, _: int) -> Outcome:
        """Does it."""
        with theatre.stage(contender) as stage:
            return self.run(stage, pace)


SCENARIOS = [
    Scenario(
        "reload",
        "a route, a weight and the certificate change, ten times",
        reloads.FIGURES,
        reloads.ten,
    ),
    Scenario(
        "reload-many",
        "the same a hundred times, while a part of the clients leaves and comes again",
        reloads.FIGURES,
        reloads.hundred,
    ),
    Scenario("upgrade", "the binary is replaced, here by itself", upgrade.FIGURES, upgrade.run),
    Scenario("stop", "the proxy is asked to stop in peace", stop.FIGURES, stop.run),
    Scenario(
        "certificate",
        "the files of the certificate are replaced",
        certificate.FIGURES,
        certificate.run,
    ),
    Scenario("endurance", "a thousand reloads under load", endurance.FIGURES, endurance.run, 1),
]
