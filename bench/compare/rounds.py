"""Goes through all measurements, round by round, and keeps what came of each."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from rig.failure import Failure
from rig.peers import Peer
from rig.rounds import in_turn

from .bench import Usage, Workshop
from .pace import Pace
from .scenarios import ADDED, Figure, Reading, Scenario

SCHEMES = ("ws", "wss")


@dataclass(frozen=True)
class Record:
    """One figure of one proxy in one round: a value, or why there is none."""

    round: int
    scenario: str
    scheme: str
    peer: str
    figure: str
    value: float | None
    failure: str | None = None
    # How much of the work behind the value failed, and what was busy with it or with other things.
    failed: int = 0
    proxy_busy: float | None = None
    load_busy: float | None = None
    others_busy: float | None = None


@dataclass
class Rounds:
    """All that has to be done, and what has come of it so far."""

    peers: list[Peer]
    scenarios: list[Scenario]
    schemes: list[str]
    pace: Pace
    workshop: Workshop
    records: list[Record] = field(default_factory=list)

    def run(self) -> None:
        """Every scenario in every round. In each the proxies take turns."""
        for number in range(1, self.pace.rounds + 1):
            for scenario in self.scenarios:
                for scheme in self.schemes:
                    self._scenario(number, scenario, scheme)

    def _scenario(self, number: int, scenario: Scenario, scheme: str) -> None:
        peers = [peer for peer in self.peers if peer.takes_part_in(scenario.name)]
        turns = [
            _Turn(number, scenario, scheme, peer, self.pace) for peer in in_turn(number, peers)
        ]
        try:
            if scenario.rest:
                _rest_together(turns, self.workshop, scenario.rest)
            else:
                for turn in turns:
                    turn.alone(self.workshop)
        finally:
            self.records += [record for turn in turns for record in turn.records]
        if scenario.name == "paced":
            self.records += _added(self.records, number, scheme)


@dataclass
class _Turn:
    """One proxy in one scenario of one round."""

    number: int
    scenario: Scenario
    scheme: str
    peer: Peer
    pace: Pace
    records: list[Record] = field(default_factory=list)

    @property
    def is_tls(self) -> bool:
        return self.scheme == "wss"

    def alone(self, workshop: Workshop) -> None:
        """Does all of it."""
        began = time.monotonic()
        with self.failing(), workshop.bench(self.peer, is_tls=self.is_tls) as bench:
            for reading in self.scenario.run(bench, self.pace):
                self.keep(reading)
        self.say(time.monotonic() - began)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What fails in here leaves its mark on every figure that is still missing."""
        try:
            yield
        except Failure as failure:
            for figure in self._missing():
                self._record(figure.name, None, failure=str(failure))

    def keep(self, reading: Reading) -> None:
        """Keeps a figure."""
        usage = reading.usage
        self._record(
            reading.figure,
            reading.value,
            failure=reading.last_failure,
            failed=reading.failed,
            proxy_busy=usage and usage.proxy_busy,
            load_busy=usage and usage.load_busy,
            others_busy=usage and usage.others_busy,
        )

    def say(self, seconds: float) -> None:
        """Tells the one who waits how it goes."""
        values = ["-" if record.value is None else f"{record.value:.3g}" for record in self.records]
        failures = [record.failure for record in self.records if record.failure]
        print(
            f"round {self.number} {self.scenario.name:9} {self.scheme:3} {self.peer.name:10}"
            f" {seconds:5.1f} s  {' '.join(values)}  {failures[0] if failures else ''}".rstrip(),
            file=sys.stderr,
            flush=True,
        )

    def _missing(self) -> list[Figure]:
        kept = {record.figure for record in self.records}
        return [
            figure
            for figure in self.scenario.figures(self.pace)
            if figure.name not in kept
            and figure.name != ADDED
            and (self.is_tls or not figure.only_tls)
        ]

    def _record(self, figure: str, value: float | None, **how: object) -> None:
        self.records.append(
            Record(
                self.number, self.scenario.name, self.scheme, self.peer.name, figure, value, **how
            )
        )


def _rest_together(
    turns: list[_Turn], workshop: Workshop, reading: Callable[[Usage], Reading]
) -> None:
    """All proxies at the same time, since they are idle and the time is long."""
    with ExitStack() as running:
        benches = []
        for turn in turns:
            with turn.failing():
                bench = running.enter_context(workshop.bench(turn.peer, is_tls=turn.is_tls))
                for _ in turn.scenario.run(bench, turn.pace):
                    pass
                benches.append((turn, bench))
        time.sleep(turns[0].pace.settle)
        resting = []
        for turn, bench in benches:
            with turn.failing():
                resting.append((turn, bench, bench.clocks()))
        time.sleep(turns[0].pace.idle_window)
        for turn, bench, before in resting:
            with turn.failing():
                turn.keep(reading(bench.since(before)))
    for turn in turns:
        turn.say(turn.pace.idle_window)


def _added(records: list[Record], number: int, scheme: str) -> list[Record]:
    """How much each proxy adds to the median of a direct connection in the same round."""
    medians = [
        record
        for record in records
        if (record.round, record.scheme, record.figure) == (number, scheme, "paced.p50")
    ]
    direct = next((record.value for record in medians if record.peer == "direct"), None)
    return [
        Record(
            number,
            "paced",
            scheme,
            record.peer,
            ADDED,
            None if record.value is None or direct is None else record.value - direct,
            failure=record.failure or (None if direct else "no direct connection to compare with"),
            failed=record.failed,
        )
        for record in medians
        if record.peer != "direct"
    ]
