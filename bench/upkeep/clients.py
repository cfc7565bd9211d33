"""The clients and their backends as seen from here, and what became of them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rig.load import Obedient

_PATIENCE = 20


@dataclass(frozen=True)
class Loss:
    """A tunnel that ended though nobody of ours wanted it to."""

    kind: str
    # In seconds since the epoch.
    at: float
    how: str
    # Messages that it had not brought back.
    unanswered: int


@dataclass(frozen=True)
class Story:
    """What has become of all clients so far."""

    # Tunnels that are open.
    plain: int
    tls: int
    losses: list[Loss]
    # Messages that clients said, and that they heard.
    said: int
    heard: int
    # Messages that are missing in the midst of others, or came twice or too late.
    lost: int
    repeated: int
    # Those on open tunnels that have not come back.
    unanswered: int
    longest_wait_milliseconds: float
    # New connections.
    visits: dict[str, Any]

    def messages_lost(self) -> int:
        """On tunnels that stand and on those that were lost."""
        return self.lost + self.unanswered + sum(loss.unanswered for loss in self.losses)

    def visits_failed(self) -> int:
        """How many new connections came to nothing."""
        return sum(self.visits["failed"].values())

    def failures(self) -> dict[str, int]:
        """What went wrong, and how often."""
        lost = Counter(f"{loss.kind} tunnels: {loss.how}" for loss in self.losses)
        visits = {f"new connections: {why}": n for why, n in self.visits["failed"].items()}
        return dict(lost) | visits


class Clients(Obedient):
    """Clients whose tunnels are never silent, and new connections besides."""

    def __init__(
        self, program: Path, *, backends: list[int], plain: int, tls: int, period: float,
        cpu: int, folder: Path,
    ) -> None:  # fmt: skip
        command = [str(program), "talk", "--period", f"{period * 1000:.0f}"]
        command += ["--plain", f"127.0.0.1:{plain}", "--tls", f"127.0.0.1:{tls}"]
        for port in backends:
            command += ["--backend", f"127.0.0.1:{port}"]
        super().__init__(command, cpu=cpu, log=folder / "clients.log")

    def open(self, kind: str, count: int) -> None:
        """Opens so many tunnels."""
        self._order(f"open {kind} {count}", _PATIENCE + count / 50)

    def renew(self, count: int) -> None:
        """So many clients say goodbye and come again."""
        self._order(f"renew {count}", _PATIENCE + count / 50)

    def visit(self, rate: float) -> None:
        """From now on so many new connections come a second."""
        self._order(f"visit {rate:g}")

    def tell(self) -> Story:
        """What has become of all."""
        return self._order("tell")

    def listen(self) -> Story:
        """The same, once nobody says any more and all that was on its way has come."""
        return self._order("listen")

    def _order(self, order: str, seconds: float = _PATIENCE) -> Story:
        answer = self.ask(order, seconds)
        losses = [Loss(**loss) for loss in answer.pop("losses")]
        return Story(losses=losses, **answer)
