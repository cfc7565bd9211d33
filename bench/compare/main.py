"""The whole run: install, build, measure, report."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import install, machine, options, places, report
from .bench import Workshop
from .options import Options
from .peers import Peer, longwire
from .processes import Cpus, Ports, raise_file_limit
from .rounds import Rounds
from .summary import summarise


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    _heed_signals()
    with _alone():
        _prepare(asked)
        results = asked.results or places.RESULTS / time.strftime("%Y-%m-%d-%H%M%S")
        results.mkdir(parents=True, exist_ok=True)
        rounds = Rounds(
            peers=_builds(asked) + asked.others,
            scenarios=asked.scenarios,
            schemes=asked.schemes,
            pace=asked.pace,
            workshop=_workshop(asked, results / "work"),
        )
        facts = _facts(rounds)
        is_complete = _run(rounds)
    _write(results, rounds, facts | {"is_complete": is_complete})
    return 0 if is_complete else 130


def _heed_signals() -> None:
    """However we are told to stop, no proxy stays behind, and what was measured is written."""
    # A shell has what runs in its background ignore SIGINT, so that is named as well.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@contextmanager
def _alone() -> Iterator[None]:
    """Waits until no other run is measuring: the two would measure each other."""
    places.MADE.mkdir(parents=True, exist_ok=True)
    with (places.MADE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another run is measuring: waiting for its end …", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare(asked: Options) -> None:
    """Everything that has to be there before a measurement."""
    # Debian leaves these out of an ordinary user's path.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    names = {peer.name.partition("-")[0] for peer in asked.others}
    install.packages(sorted(names & {"nginx", "haproxy"}))
    install.venv()
    install.certificate()
    places.PROGRAMS.mkdir(exist_ok=True)


def _builds(asked: Options) -> list[Peer]:
    """The builds of longwire."""
    return [
        longwire(name, _copy(binary or install.build_longwire(), name))
        for name, binary in asked.builds.items()
    ]


def _copy(binary: Path, name: str) -> Path:
    """What is measured is a copy, so that building meanwhile does not change it."""
    to = places.PROGRAMS / name
    to.unlink(missing_ok=True)
    return Path(shutil.copy2(binary, to))


def _workshop(asked: Options, folder: Path) -> Workshop:
    load = _copy(install.build_load(), "load")
    files = raise_file_limit()
    if files < asked.pace.files():
        sys.exit(
            f"bench/run: {asked.pace.files():,} open files are needed, and {files:,} are allowed: "
            "raise the hard limit (ulimit -Hn), or use --quick"
        )
    cpus = Cpus.choose()
    if cpus.proxy == cpus.load:
        print("There is only one CPU: proxy and load share it.", file=sys.stderr)
    os.sched_setaffinity(0, cpus.ours)
    return Workshop(load, cpus, Ports(), files, folder)


def _facts(rounds: Rounds) -> dict[str, Any]:
    return {
        "machine": machine.describe(),
        "versions": {peer.name: peer.version() for peer in rounds.peers},
        "rounds": rounds.pace.rounds,
    }


def _run(rounds: Rounds) -> bool:
    """Measures. Whether it came to its end; what was measured until then is kept."""
    try:
        rounds.run()
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
        return False
    return True


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    summary = summarise(rounds)
    table = report.markdown(summary, facts)
    (results / "table.md").write_text(table)
    report.write_json(results / "results.json", rounds, summary, facts)
    print(table)
    chart = [str(places.VENV / "bin" / "python"), str(places.BENCH / "compare" / "chart.py")]
    drawn = subprocess.run(
        [*chart, str(results / "results.json"), str(results / "chart.svg")], check=False
    )
    if drawn.returncode:
        print("The chart could not be drawn.", file=sys.stderr)
    print(f"Results: {results}", file=sys.stderr)
