"""How a run behaves: alone, on CPUs of its own, and gone when it is told to stop."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import install, machine, places
from .processes import Cpus, raise_file_limit


def whole_run(
    given: Path | None,
    kind: str,
    begin: Callable[[Path], Any],
    write: Callable[[Path, Any, dict[str, Any]], None],
) -> int:
    """Measures what `begin` makes with a folder, and writes it where it is asked for, or into a
    folder with the date and the kind in its name. The status to exit with.
    """
    heed_signals()
    with alone():
        results = given or places.RESULTS / time.strftime(f"%Y-%m-%d-%H%M%S{kind}")
        rounds = begin(results / "work")
        results.mkdir(parents=True, exist_ok=True)
        facts = {"machine": machine.describe()}
        is_complete = to_its_end(rounds.run)
    write(results, rounds, facts | {"is_complete": is_complete})
    return 0 if is_complete else 130


def heed_signals() -> None:
    """However we are told to stop, no proxy stays behind, and what was measured is written."""
    # A shell has what runs in its background ignore SIGINT, so that is named as well.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def alone() -> Iterator[None]:
    """Waits until no other run is measuring: the two would measure each other."""
    places.MADE.mkdir(parents=True, exist_ok=True)
    with (places.MADE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is measuring: waiting for its end …", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_peers(names: set[str]) -> None:
    """Brings in those of the peers that are missing, and what draws charts."""
    # Debian leaves these out of an ordinary user's path.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    families = {name.partition("-")[0] for name in names}
    install.packages(sorted(families & {"nginx", "haproxy"}))
    install.venv()


def binaries(builds: dict[str, Path | None]) -> dict[str, Path]:
    """Copies of the builds of longwire; one that is not there yet is built."""
    return {name: copy(binary or install.build_longwire(), name) for name, binary in builds.items()}


def copy(binary: Path, name: str) -> Path:
    """What is measured is a copy, so that building meanwhile does not change it."""
    places.PROGRAMS.mkdir(exist_ok=True)
    to = places.PROGRAMS / name
    to.unlink(missing_ok=True)
    return Path(shutil.copy2(binary, to))


def allow_files(needed: int) -> int:
    """How many open files a process may have, if that is enough."""
    files = raise_file_limit()
    if files < needed:
        sys.exit(
            f"bench/{Path(sys.argv[0]).name}: {needed:,} open files are needed, and {files:,} are "
            "allowed: raise the hard limit (ulimit -Hn), or use --quick"
        )
    return files


def share_cpus() -> Cpus:
    """The CPUs of proxy and load; we keep off them if there are others."""
    cpus = Cpus.choose()
    if cpus.proxy == cpus.load:
        print("There is only one CPU: proxy and load share it.", file=sys.stderr)
    os.sched_setaffinity(0, cpus.ours)
    return cpus


def to_its_end(measure: Callable[[], None]) -> bool:
    """Measures. Whether it came to its end; what was measured until then is kept."""
    try:
        measure()
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
        return False
    return True


def draw(script: str, *arguments: Path | str) -> None:
    """Runs one of the programs that draw, where matplotlib is."""
    command = [places.VENV / "bin" / "python", places.BENCH / script, *arguments]
    drawn = subprocess.run([str(word) for word in command], check=False)
    if drawn.returncode:
        print("The chart could not be drawn.", file=sys.stderr)
