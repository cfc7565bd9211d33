"""Rounds become medians and ratios."""

from dataclasses import dataclass
from statistics import median

from rig.peers import Peer, Role

from .rounds import Record, Rounds
from .scenarios import Figure, Scenario


@dataclass(frozen=True)
class Cell:
    """A figure of a proxy over all rounds."""

    records: list[Record]

    @property
    def values(self) -> list[float]:
        """Those of the rounds that have one."""
        return [record.value for record in self.records if record.value is not None]

    @property
    def median(self) -> float | None:
        """Their middle, if there is any."""
        return median(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """From the least to the most, as a share of the middle."""
        if not self.values or not self.median:
            return None
        return (max(self.values) - min(self.values)) / abs(self.median)

    def busy(self) -> tuple[float, float] | None:
        """How busy the CPUs of proxy and load were, each in the middle."""
        proxy = [r.proxy_busy for r in self.records if r.proxy_busy is not None]
        load = [r.load_busy for r in self.records if r.load_busy is not None]
        return (median(proxy), median(load)) if proxy and load else None


@dataclass(frozen=True)
class Row:
    """A figure of all proxies."""

    scheme: str
    figure: Figure
    cells: dict[str, Cell]

    def ratio(self, peer: Peer, beside: list[Peer]) -> float | None:
        """How this one compares with the best of those beside it.

        A machine that others share is now fast and now slow, so each round is compared with itself:
        its proxies take turns within seconds.
        """
        ratios = [
            ratio for other in beside if (ratio := self._paired(peer.name, other.name)) is not None
        ]
        if not ratios:
            return None
        return min(ratios) if self.figure.more_is_better else max(ratios)

    def _paired(self, one: str, other: str) -> float | None:
        """The middle of the ratios that the rounds have between these two."""
        ones, others = self._by_round(one), self._by_round(other)
        ratios = [ones[number] / others[number] for number in ones if others.get(number, 0) > 0]
        return median(ratios) if ratios else None

    def _by_round(self, peer: str) -> dict[int, float]:
        cell = self.cells.get(peer)
        records = cell.records if cell else []
        return {record.round: record.value for record in records if record.value is not None}


@dataclass(frozen=True)
class Summary:
    """All figures, in the order of the scenarios."""

    peers: list[Peer]
    sections: list[tuple[Scenario, list[Row]]]

    def of(self, role: Role) -> list[Peer]:
        """The peers that have this role."""
        return [peer for peer in self.peers if peer.role is role]


def summarise(rounds: Rounds) -> Summary:
    """What the rounds say so far."""
    sections = []
    for scenario in rounds.scenarios:
        rows = [
            Row(scheme, figure, _cells(rounds, scheme, figure))
            for figure in scenario.figures(rounds.pace)
            for scheme in rounds.schemes
            if scheme == "wss" or not figure.only_tls
        ]
        sections.append((scenario, [row for row in rows if row.cells]))
    seen = {record.peer for record in rounds.records}
    return Summary([peer for peer in rounds.peers if peer.name in seen], sections)


def _cells(rounds: Rounds, scheme: str, figure: Figure) -> dict[str, Cell]:
    cells: dict[str, list[Record]] = {}
    for record in rounds.records:
        if (record.scheme, record.figure) == (scheme, figure.name):
            cells.setdefault(record.peer, []).append(record)
    return {peer: Cell(records) for peer, records in cells.items()}
