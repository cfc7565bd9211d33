"""What a process has used: CPU time to the nanosecond, and memory that is its own."""

import ctypes
import os
import time
from pathlib import Path

from .failure import Failure

_libc = ctypes.CDLL(None, use_errno=True)


def session(leader: int) -> list[int]:
    """The processes of a session, which is what a proxy and its workers are started as."""
    return [pid for pid in _all_processes() if _session_of(pid) == leader]


def cpu_seconds(pids: list[int]) -> float:
    """The CPU time of whole processes, threads that have ended included.

    The clock of a process is exact at the moment of reading; the ticks in /proc/PID/stat are not,
    and /proc/PID/schedstat lags behind for a thread that is running.
    """
    return sum(time.clock_gettime_ns(_clock(pid)) for pid in pids) / 1e9


def machine_cpu_seconds() -> float:
    """The CPU time of everything on the machine, to a hundredth of a second."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _wait, hard, soft, stolen = map(int, line.split()[1:9])
    return (user + nice + system + hard + soft + stolen) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pids: list[int]) -> int:
    """The proportional set size: a page that several processes share counts once in all."""
    return sum(_resident(pid, "Pss:") for pid in pids)


def rss_bytes(pids: list[int]) -> int:
    """The resident set size: a page that several processes share counts in each."""
    return sum(_resident(pid, "Rss:") for pid in pids)


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything; state, parent, group and session follow it.
    state, _, _, number = stat.rpartition(")")[2].split()[:4]
    return None if state == "Z" else int(number)


def _clock(pid: int) -> int:
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise Failure(f"process {pid} is gone: {os.strerror(error)}")
    return clock.value


def _resident(pid: int, kind: str) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError as error:
        raise Failure(f"the memory of process {pid} cannot be read: {error}") from error
    line = next(line for line in rollup.splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024
