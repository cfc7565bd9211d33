"""The whole run: install, build, measure, report."""

import sys
import time
from pathlib import Path
from typing import Any

from compare import conduct, install, machine, places
from compare.processes import Ports

from . import options, report
from .contenders import Contender, longwire
from .options import Options
from .pace import BACKENDS, Pace
from .rounds import Rounds
from .scenarios import STEP
from .stage import Theatre


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    conduct.heed_signals()
    with conduct.alone():
        conduct.install_peers({contender.name for contender in asked.others})
        results = asked.results or places.RESULTS / time.strftime("%Y-%m-%d-%H%M%S-storm")
        results.mkdir(parents=True, exist_ok=True)
        rounds = Rounds(
            contenders=_builds(asked) + asked.others,
            scenarios=asked.scenarios,
            pace=asked.pace,
            theatre=_theatre(asked, results / "work"),
        )
        facts = _facts(rounds)
        is_complete = conduct.to_its_end(rounds.run)
    _write(results, rounds, facts | {"is_complete": is_complete})
    return 0 if is_complete else 130


def _builds(asked: Options) -> list[Contender]:
    """The builds of longwire."""
    return [
        contender
        for name, binary in asked.builds.items()
        for contender in longwire(name, conduct.copy(binary or install.build_longwire(), name))
        if contender.name in asked.names
    ]


def _theatre(asked: Options, folder: Path) -> Theatre:
    program = conduct.copy(install.build_load(), "load")
    files = conduct.allow_files(asked.pace.files())
    return Theatre(program, conduct.share_cpus(), Ports(), files, folder, asked.pace)


def _facts(rounds: Rounds) -> dict[str, Any]:
    return {
        "machine": machine.describe(),
        "versions": {one.name: one.peer.version() for one in rounds.contenders},
        "roles": {one.name: one.peer.role.value for one in rounds.contenders},
        "backends": BACKENDS,
        "step": STEP,
    }


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    table = report.markdown(rounds, facts, "A crowd comes back", _about(rounds.pace))
    (results / "table.md").write_text(table)
    report.write_json(results / "results.json", rounds, facts)
    print(table)
    conduct.draw("crowd/chart.py", results / "results.json", results)
    print(f"Results: {results}", file=sys.stderr)


def _about(pace: Pace) -> str:
    return (
        f"{pace.tunnels:,} tunnels over {BACKENDS} backends, each of which needs "
        f"{pace.work * 1000:g} ms for a handshake and does one at a time. Medians of "
        f"{report.rounds_of(pace.rounds)} (`grow`: one). `never`: not within {pace.limit:g} s."
    )
