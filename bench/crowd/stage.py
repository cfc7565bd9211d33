"""A proxy between a crowd and several backends, each a process of its own."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rig import accounting
from rig.equipment import Equipment
from rig.failure import Failure
from rig.load import Obedient
from rig.peers import Wiring
from rig.processes import Process, wait_for_port

from .contenders import Contender
from .pace import Pace

_PATIENCE = 20


@dataclass
class Backend:
    """A backend that can be killed and started again."""

    program: Path
    port: int
    cpu: int
    folder: Path
    # One for each life.
    journals: list[Path] = field(default_factory=list)
    process: Obedient | None = None

    def start(self, work: float) -> None:
        """Starts it. A handshake costs it so many seconds."""
        name = f"backend-{self.port}-{len(self.journals) + 1}"
        journal = self.folder / f"{name}.journal"
        command = [str(self.program), "slow", "--listen", f"127.0.0.1:{self.port}"]
        command += ["--journal", str(journal)]
        self.process = Obedient(command, cpu=self.cpu, log=self.folder / f"{name}.log")
        self.journals.append(journal)
        self.work(work)

    def work(self, seconds: float) -> None:
        """From now on a handshake costs so much."""
        self._alive().ask(f"work {seconds * 1e6:.0f}", _PATIENCE)

    def kill(self) -> None:
        """Kills it, as a crash would."""
        self._alive().stop()
        self.process = None

    def _alive(self) -> Obedient:
        if self.process is None:
            raise Failure("the backend is not running")
        return self.process


class Crowd(Obedient):
    """Clients that come back."""

    def __init__(self, program: Path, target: int, cpu: int, folder: Path, seed: int) -> None:
        self.journal = folder / "crowd.journal"
        command = [str(program), "crowd", "--target", f"127.0.0.1:{target}"]
        command += ["--journal", str(self.journal), "--seed", str(seed)]
        super().__init__(command, cpu=cpu, log=folder / "crowd.log")

    def open(self, count: int) -> None:
        """Opens so many tunnels, and waits for them."""
        self.ask(f"open {count}", _PATIENCE + count / 100)

    def arrive(self, count: int, seconds: float) -> None:
        """Has so many more come within this time."""
        self.ask(f"arrive {count} {seconds * 1000:.0f}", _PATIENCE)

    def drop(self) -> None:
        """Drops all sockets."""
        self.ask("drop", _PATIENCE)

    def is_complete(self, count: int) -> bool:
        """Whether so many tunnels are open."""
        return self.ask("count", _PATIENCE)["open"] >= count


@dataclass(frozen=True)
class Stage:
    """Everything in place."""

    contender: Contender
    pace: Pace
    proxy: Process
    backends: list[Backend]
    crowd: Crowd
    wiring: Wiring

    def cpu_seconds(self) -> float:
        """The CPU time of the proxy so far."""
        return accounting.cpu_seconds(self.proxy.pids())

    def admit(self, ports: list[int]) -> None:
        """Tells the proxy which backends there are from now on, if it has to be told."""
        if self.contender.reload is None:
            return
        self.contender.configure(self.wiring, ports, self.pace.settings())
        os.kill(self.proxy.popen.pid, self.contender.reload)

    def wait_for(self, count: int, deadline: float) -> None:
        """Waits until so many tunnels have been open for a while, or until there is no hope."""
        since = None
        while time.time() < deadline:
            is_complete = self.crowd.is_complete(count)
            since = (since or time.time()) if is_complete else None
            if since is not None and time.time() - since > 1.2:
                return
            time.sleep(0.1)


@dataclass(frozen=True)
class Theatre:
    """Where stages are built."""

    equipment: Equipment
    pace: Pace

    @contextmanager
    def stage(
        self, contender: Contender, *, backends: int, later: int, seed: int
    ) -> Iterator[Stage]:
        """Starts everything afresh, but for backends that join later."""
        equipment = self.equipment
        load, cpu = equipment.load, equipment.cpus.load
        folder = equipment.folder_of(contender.name)
        port, *ports = (equipment.ports.take() for _ in range(1 + backends + later))
        wiring = Wiring(port, 0, 0, folder, equipment.files, False, load)
        cast = [Backend(load, at, cpu, folder) for at in ports]
        with ExitStack() as running:
            running.callback(lambda: [one.kill() for one in cast if one.process])
            for backend in cast[:backends]:
                backend.start(0)
                assert backend.process
                wait_for_port(backend.port, backend.process)
            known = ports[:backends] if contender.reload else ports
            command = contender.configure(wiring, known, self.pace.settings())
            proxy = running.enter_context(equipment.proxy(command, folder))
            wait_for_port(port, proxy)
            crowd = running.enter_context(Crowd(load, port, cpu, folder, seed))
            yield Stage(contender, self.pace, proxy, cast, crowd, wiring)
