"""What clients and backends have written down, and what can be read from it."""

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

# A tunnel that ends sooner was a refusal in another dress: a 101, then a Close.
_BRIEF = 1.0
_NEVER = float("inf")


@dataclass
class Client:
    """What a client went through since the story began. Times are in seconds from then."""

    tries: int = 0
    # Why tries failed.
    failures: list[str] = field(default_factory=list)
    # When it came to want a tunnel, and since when it has had one that lasts.
    without_since: float | None = None
    back_at: float = _NEVER
    longest_wait: float = 0.0
    times_lost: int = 0

    @property
    def outage(self) -> float:
        """How long it was without a tunnel that lasts."""
        return 0.0 if self.without_since is None else self.back_at - self.without_since


@dataclass(frozen=True)
class CrowdStory:
    """Those clients that were without a tunnel at some time, and how many had one."""

    clients: list[Client]
    # Every change of the number of open tunnels.
    changes: list[tuple[float, int]]

    def quantile(self, share: float) -> float:
        """The outage that so many of the clients did not exceed."""
        outages = sorted(client.outage for client in self.clients)
        return outages[max(0, round(share * len(outages)) - 1)] if outages else 0.0

    def of_the_lost(self) -> "CrowdStory":
        """The same without those that only came."""
        lost = [client for client in self.clients if client.times_lost]
        return CrowdStory(lost, self.changes)

    def failures(self) -> Counter[str]:
        """How often tries failed, by reason."""
        return Counter(reason for client in self.clients for reason in client.failures)

    def open_at(self, times: list[float]) -> list[int]:
        """How many tunnels were open."""
        return _levels(self.changes, times)


@dataclass(frozen=True)
class BackendStory:
    """What a backend was asked for, in all its lives."""

    # When it got handshakes.
    asked: list[float]
    # Every change of the number of its tunnels.
    changes: list[tuple[float, int]]

    def worst_second(self) -> int:
        """The most handshakes that came within a second, after the story began."""
        asked = [time for time in self.asked if time >= 0]
        return max(
            (place - bisect_right(asked, time - 1) + 1 for place, time in enumerate(asked)),
            default=0,
        )

    def asked_between(self, begin: float, end: float) -> int:
        """How many handshakes it got."""
        return bisect_left(self.asked, end) - bisect_left(self.asked, begin)

    def tunnels_at(self, times: list[float]) -> list[int]:
        """How many tunnels it had."""
        return _levels(self.changes, times)


def crowd(journal: Path, began: float) -> CrowdStory:
    """The story of the clients from this moment on."""
    clients: dict[str, Client] = {}
    since: dict[str, float] = {}
    changes = []
    for time, (who, what, *why) in _events(journal, began):
        is_change = what in ("open", "lost")
        if is_change:
            changes.append((time, 1 if what == "open" else -1))
        if time >= 0:
            client = clients.setdefault(who, Client())
            _go_on(client, time, what, why[0] if why else "", since.get(who, -_NEVER))
        if what != "failed":
            since[who] = time
    return CrowdStory(list(clients.values()), changes)


def _go_on(client: Client, time: float, what: str, why: str, since: float) -> None:
    """One more thing that happened to it, and when the last one did."""
    if client.without_since is None:
        client.without_since = time
    match what:
        case "try":
            client.tries += 1
        case "failed":
            client.failures.append(why)
        case "open":
            client.back_at = time
            client.longest_wait = max(client.longest_wait, time - since)
        case "lost":
            client.back_at = _NEVER
            client.times_lost += 1
            if since >= 0 and time - since < _BRIEF:
                client.failures.append(f"Close {why}")


def backend(journals: list[Path], began: float) -> BackendStory:
    """The story of a backend. With its process, its tunnels end."""
    asked, changes = [], []
    for journal in journals:
        tunnels = 0
        for time, (what, *_) in _events(journal, began):
            if what == "asked":
                asked.append(time)
            else:
                step = 1 if what == "opened" else -1
                tunnels += step
                changes.append((time, step))
        if journal is not journals[-1]:
            changes.append((0.0, -tunnels))
    return BackendStory(sorted(asked), changes)


def _events(journal: Path, began: float) -> list[tuple[float, list[str]]]:
    events = []
    for line in journal.read_text().splitlines():
        microseconds, *words = line.split()
        events.append((int(microseconds) / 1e6 - began, words))
    return events


def _levels(changes: list[tuple[float, int]], times: list[float]) -> list[int]:
    """The sum of all changes until each of these times."""
    ordered = sorted(changes)
    sums = [0, *accumulate(step for _, step in ordered)]
    moments = [time for time, _ in ordered]
    return [sums[bisect_right(moments, time)] for time in times]
