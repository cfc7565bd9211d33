"""A proxy at work between clients and their backend, and what it uses meanwhile."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rig import accounting
from rig.equipment import Equipment
from rig.failure import Failure
from rig.load import Answer, Load
from rig.peers import Peer, Role, Wiring
from rig.processes import Process, wait_for_port

# How many seconds longer than told an order may take.
_PATIENCE = 20


@dataclass(frozen=True)
class Clocks:
    """Seconds as of one moment: of the wall, and of CPU time of proxy, load and all there is."""

    wall: float
    proxy: float
    load: float
    machine: float
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Usage:
    """Seconds that went by between two moments."""

    wall: float
    proxy: float
    load: float
    # What neither of the two used.
    others: float

    @property
    def proxy_busy(self) -> float:
        """The share of its CPU that the proxy used."""
        return self.proxy / self.wall

    @property
    def load_busy(self) -> float:
        """The share of its CPU that clients and backend used."""
        return self.load / self.wall

    @property
    def others_busy(self) -> float:
        """What everything else on the machine used, as a share of one CPU."""
        return max(0, self.others) / self.wall


@dataclass(frozen=True)
class Measurement:
    """An order's answer, and what was used meanwhile."""

    answer: Answer
    usage: Usage

    def cpu_each(self) -> float:
        """The proxy's CPU time in seconds for one of what was counted."""
        if not self.answer.count:
            raise Failure(f"nothing was done: {self.answer.last_failure}")
        return self.usage.proxy / self.answer.count


@dataclass(frozen=True)
class Bench:
    """A proxy, or none, with clients and a backend."""

    peer: Peer
    is_tls: bool
    load: Load
    proxy: Process | None

    def memory(self) -> int:
        """The memory of the proxy, all its processes together."""
        return accounting.pss_bytes(self._pids())

    def measure(self, order: str, seconds: float, warm_up: float) -> Measurement:
        """Has something done for a while, then again with an eye on the clocks.

        The order gets its time in milliseconds at its end.
        """
        self.load.order(f"{order} {warm_up * 1000:.0f}", warm_up + _PATIENCE)
        before = self.clocks()
        answer = self.load.order(f"{order} {seconds * 1000:.0f}", seconds + _PATIENCE)
        return Measurement(answer, self.since(before))

    def clocks(self) -> Clocks:
        """The clocks as of now."""
        pids = self._pids()
        return Clocks(
            wall=time.monotonic(),
            proxy=accounting.cpu_seconds(pids),
            load=accounting.cpu_seconds([self.load.popen.pid]),
            machine=accounting.machine_cpu_seconds(),
            pids=tuple(pids),
        )

    def since(self, before: Clocks) -> Usage:
        """What was used since then."""
        now = self.clocks()
        if now.pids != before.pids:
            raise Failure("processes of the proxy came or went meanwhile")
        proxy, load = now.proxy - before.proxy, now.load - before.load
        others = now.machine - before.machine - proxy - load
        return Usage(now.wall - before.wall, proxy, load, others)

    def _pids(self) -> list[int]:
        return self.proxy.pids() if self.proxy else []


@dataclass(frozen=True)
class Workshop:
    """Where benches are made."""

    equipment: Equipment

    @contextmanager
    def bench(self, peer: Peer, *, is_tls: bool) -> Iterator[Bench]:
        """Starts everything afresh. All of it is gone at the end."""
        equipment = self.equipment
        folder = equipment.folder_of(peer.name)
        plain, tls, backend = (equipment.ports.take() for _ in range(3))
        wiring = Wiring(plain, tls, backend, folder, equipment.files, is_tls, equipment.load)
        is_direct = peer.role is Role.DIRECT
        target = backend if is_direct else tls if is_tls else plain
        with ExitStack() as running:
            load = running.enter_context(
                Load(
                    equipment.load,
                    backend=backend,
                    target=target,
                    # The backend speaks no TLS.
                    tls=is_tls and not is_direct,
                    cpu=equipment.cpus.load,
                    folder=folder,
                )
            )
            wait_for_port(backend, load)
            proxy = None
            if not is_direct:
                proxy = running.enter_context(
                    equipment.proxy(peer.configure(wiring), folder, peer.environment)
                )
                wait_for_port(target, proxy)
            yield Bench(peer, is_tls, load, proxy)
