"""Starts processes on a CPU of their own, and sees to it that none outlives the run."""

import atexit
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from . import accounting
from .failure import Failure

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_running: set["Process"] = set()


@dataclass(frozen=True)
class Cpus:
    """Who runs where: proxy and load never share a CPU if there are two."""

    proxy: int
    load: int
    ours: frozenset[int]

    @classmethod
    def choose(cls) -> Self:
        """The first CPU for the proxy, the second for the load, the others for ourselves."""
        allowed = sorted(os.sched_getaffinity(0))
        proxy, load, *others = allowed if len(allowed) > 1 else allowed * 2
        return cls(proxy, load, frozenset(others or [load]))


class Process:
    """A process and its children. Leaving its `with` block ends them all."""

    def __init__(
        self,
        command: list[str],
        *,
        cpu: int,
        log: Path,
        environment: dict[str, str] | None = None,
        piped: bool = False,
    ) -> None:
        self.log = log
        pipe = subprocess.PIPE if piped else None
        with log.open("wb") as sink:
            try:
                self.popen = subprocess.Popen(
                    command,
                    stdin=pipe or subprocess.DEVNULL,
                    stdout=pipe or sink,
                    stderr=sink,
                    cwd=log.parent,
                    env=os.environ | (environment or {}),
                    # A session of its own is how its children are found.
                    start_new_session=True,
                    preexec_fn=lambda: _settle(cpu),
                )
            except OSError as error:
                raise Failure(f"it cannot be started: {error}") from error
        _running.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def stdin(self) -> IO[bytes]:
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self.popen.stdout is not None
        return self.popen.stdout

    def pids(self) -> list[int]:
        """It and its children, as of now."""
        pids = accounting.session(self.popen.pid)
        if not pids:
            raise Failure(f"it ended: {self.last_words()}")
        return pids

    def last_words(self) -> str:
        """The end of what it wrote, for the one who has to find out what went wrong."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-500:] or "it said nothing"

    def stop(self) -> None:
        """Kills it and its children. Nothing of theirs is worth the wait for a gentle end."""
        leader = self.popen.pid
        deadline = time.monotonic() + 20
        while self.popen.poll() is None or accounting.session(leader):
            if time.monotonic() > deadline:
                print(f"process {leader} does not end", file=sys.stderr)
                break
            # A child is found by its session, so no process of anybody else is ever met.
            for pid in accounting.session(leader):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()
        _running.discard(self)


def wait_for_port(port: int, process: Process, seconds: float = 15) -> None:
    """Waits until the process accepts connections."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.popen.poll() is not None and not accounting.session(process.popen.pid):
            raise Failure(f"it did not start: {process.last_words()}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failure(f"it did not listen within {seconds:.0f} s: {process.last_words()}")


class Ports:
    """Free ports of 127.0.0.1, each given once.

    They lie below those that the system gives to connections, so that none of the many
    connections of a run can sit on one of them.
    """

    def __init__(self) -> None:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        self._end = int(text.split()[0])
        self._next = self._begin = max(1024, min(20_000, self._end - 8_000))

    def take(self) -> int:
        """A port that nobody listens on."""
        for _ in range(self._begin, self._end):
            port, self._next = self._next, self._next + 1
            if self._next >= self._end:
                self._next = self._begin
            if _is_free(port):
                return port
        raise Failure("no port is free")


def raise_file_limit() -> int:
    """Allows as many open files as the system lets us, to 20,000. How many that are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 20_000 if hard == resource.RLIM_INFINITY else min(hard, 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _settle(cpu: int) -> None:
    """Runs in the new process: on its CPU, and gone when we are, even if we are killed."""
    os.sched_setaffinity(0, {cpu})
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@atexit.register
def _stop_all() -> None:
    for process in list(_running):
        process.stop()
