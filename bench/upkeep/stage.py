"""A proxy between clients that ought to notice nothing and two backends."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rig import accounting, places
from rig.equipment import Equipment
from rig.peers import Wiring
from rig.processes import Process, wait_for_port

from .certificates import Certificates
from .clients import Clients
from .contenders import Contender
from .operations import Subject
from .pace import Pace
from .waiting import until

_PATIENCE = 30


@dataclass(frozen=True)
class Memory:
    """Of all processes of a proxy, in bytes."""

    pss: int
    rss: int


@dataclass
class Script:
    """What a proxy's configuration says, which a reload changes."""

    contender: Contender
    wiring: Wiring
    settings: dict[str, str]
    generation: int = 0

    def write(self) -> list[str]:
        """Writes another one: a route and a weight differ from those before. What starts it."""
        self.generation += 1
        changing = {
            "GENERATION": str(self.generation),
            "WEIGHT": str(1 + self.generation % 3),
        }
        peer = self.contender.peer
        # Its own settings hold names of others.
        own = {name: self.wiring.fill(text, self.settings) for name, text in peer.settings.items()}
        settings = self.settings | changing | own
        for name in self.contender.parts:
            self._put(name, settings)
        command = replace(peer, settings=settings).configure(self.wiring)
        return [self.wiring.fill(word, settings) for word in command]

    def _put(self, name: str, settings: dict[str, str]) -> None:
        """Writes a part of it. Who watches it never finds half a file."""
        fresh = self.wiring.folder / f"{name}.new"
        fresh.write_text(self.wiring.fill((places.TEMPLATES / name).read_text(), settings))
        os.replace(fresh, self.wiring.folder / name)


@dataclass(frozen=True)
class Stage:
    """Everything in place."""

    contender: Contender
    pace: Pace
    proxy: Process
    subject: Subject
    clients: Clients
    certificates: Certificates
    script: Script

    def open(self, tunnels: int) -> None:
        """Opens so many, half of them over TLS, and has new connections come."""
        self.clients.open("plain", tunnels - tunnels // 2)
        self.clients.open("tls", tunnels // 2)
        self.clients.visit(self.pace.visits)
        time.sleep(1)

    def reload(self) -> float:
        """Changes a route, a weight and the certificate. How long until they are in force."""
        self.script.write()
        self.certificates.replace()
        began = time.monotonic()
        self.contender.reload(self.subject)
        self.wait_for_certificate()
        return time.monotonic() - began

    def wait_for_certificate(self) -> float:
        """Waits until the new one is served. How long it took."""
        port = self.script.wiring.tls
        is_served = lambda: self.certificates.is_served_at(port)  # noqa: E731
        return until(is_served, _PATIENCE, "the new certificate is served")

    def processes(self) -> set[int]:
        """Those of the proxy that are there; none once it has ended."""
        return set(accounting.session(self.proxy.popen.pid))

    def memory(self) -> Memory:
        """What they hold together."""
        pids = self.proxy.pids()
        return Memory(accounting.pss_bytes(pids), accounting.rss_bytes(pids))


@dataclass(frozen=True)
class Theatre:
    """Where stages are built."""

    equipment: Equipment
    pace: Pace

    @contextmanager
    def stage(self, contender: Contender) -> Iterator[Stage]:
        """Starts everything afresh."""
        equipment = self.equipment
        folder = equipment.folder_of(contender.name)
        # What was left by one that was killed.
        (folder / "nginx.pid").unlink(missing_ok=True)
        plain, tls, *backends = (equipment.ports.take() for _ in range(4))
        wiring = Wiring(plain, tls, 0, folder, equipment.files, False, equipment.load)
        certificates = Certificates(folder)
        certificates.replace()
        with ExitStack() as running:
            sockets = Path(running.enter_context(TemporaryDirectory(prefix="operate-")))
            clients = running.enter_context(
                Clients(
                    equipment.load, backends=backends, plain=plain, tls=tls,
                    period=self.pace.period, cpu=equipment.cpus.load, folder=folder,
                )
            )  # fmt: skip
            wait_for_port(backends[0], clients)
            settings = self.pace.settings() | certificates.settings()
            settings |= {
                "FIRST": str(backends[0]), "SECOND": str(backends[1]), "SOCKETS": str(sockets),
            }  # fmt: skip
            script = Script(contender, wiring, settings)
            environment = contender.peer.environment
            proxy = running.enter_context(equipment.proxy(script.write(), folder, environment))
            wait_for_port(tls, proxy)
            wait_for_port(plain, proxy)
            subject = Subject(proxy, folder / contender.peer.template, sockets)
            yield Stage(contender, self.pace, proxy, subject, clients, certificates, script)
