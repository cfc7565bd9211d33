"""The load program as seen from here: orders go in, answers come out, and none takes for ever."""

import json
import os
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .failure import Failure
from .processes import Process


@dataclass(frozen=True)
class Answer:
    """What an order came to."""

    count: int
    seconds: float
    failed: int
    last_failure: str | None
    offered: int
    resumed: int
    p50_microseconds: float
    p99_microseconds: float
    p999_microseconds: float


class Obedient(Process):
    """A process that answers every line that it is given with one of JSON."""

    def __init__(self, command: list[str], *, cpu: int, log: Path) -> None:
        super().__init__(command, cpu=cpu, log=log, piped=True)
        self._inbox = b""

    def ask(self, order: str, seconds: float) -> dict[str, Any]:
        """Gives an order and waits for its answer, but no longer than so many seconds."""
        try:
            os.write(self.stdin.fileno(), order.encode() + b"\n")
            line = self._line(time.monotonic() + seconds)
        except OSError as error:
            raise Failure(f"the load program broke off: {self.last_words()}") from error
        if line is None:
            raise Failure(f"`{order}` was not done within {seconds:.0f} s")
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def _line(self, deadline: float) -> bytes | None:
        while b"\n" not in self._inbox:
            patience = max(0.0, deadline - time.monotonic())
            if not select.select([self.stdout], [], [], patience)[0]:
                return None
            chunk = os.read(self.stdout.fileno(), 65_536)
            if not chunk:
                raise BrokenPipeError
            self._inbox += chunk
        line, self._inbox = self._inbox.split(b"\n", 1)
        return line


class Load(Obedient):
    """Clients and their backend in one process."""

    def __init__(
        self, program: Path, *, backend: int, target: int, tls: bool, cpu: int, folder: Path
    ) -> None:
        command = [str(program), "drive"]
        command += ["--backend", f"127.0.0.1:{backend}", "--target", f"127.0.0.1:{target}"]
        command += ["--tls"] if tls else []
        super().__init__(command, cpu=cpu, log=folder / "load.log")

    def order(self, order: str, seconds: float) -> Answer:
        """Gives an order and waits for its answer, but no longer than so many seconds."""
        return Answer(**self.ask(order, seconds))

    def open(self, count: int) -> None:
        """Opens so many tunnels, each of which carries a message."""
        self.order(f"open {count}", 20 + count / 200)

    def close(self) -> None:
        """Closes all tunnels with a Close."""
        self.order("close", 30)
