"""The whole run: install, build, measure, report."""

import sys
import time
from pathlib import Path
from typing import Any

from compare import conduct, install, machine, places
from compare.processes import Ports
from crowd import report
from crowd.rounds import Rounds

from . import certificates, options
from .contenders import Contender, longwire
from .options import Options
from .pace import Pace
from .stage import Theatre


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    conduct.heed_signals()
    with conduct.alone():
        conduct.install_peers({contender.name for contender in asked.others})
        certificates.make()
        results = asked.results or places.RESULTS / time.strftime("%Y-%m-%d-%H%M%S-operate")
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
        longwire(name, conduct.copy(binary or install.build_longwire(), name))
        for name, binary in asked.builds.items()
    ]


def _theatre(asked: Options, folder: Path) -> Theatre:
    program = conduct.copy(install.build_load(), "load")
    files = conduct.allow_files(asked.pace.files())
    return Theatre(program, conduct.share_cpus(), Ports(), files, folder, asked.pace)


def _facts(rounds: Rounds) -> dict[str, Any]:
    return {
        "machine": machine.describe(),
        "versions": {one.name: one.peer.version() for one in rounds.contenders},
    }


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    table = report.markdown(rounds, facts, "Operating a proxy", _about(rounds.pace))
    (results / "table.md").write_text(table)
    report.write_json(results / "results.json", rounds, facts)
    print(table)
    print(f"Results: {results}", file=sys.stderr)


def _about(pace: Pace) -> str:
    return (
        f"{pace.tunnels} tunnels, half of them over TLS ({pace.fewer} where there are many "
        f"reloads). Each side of each says a numbered message every {pace.period * 1000:g} ms, and "
        f"the backend repeats those of the client; {pace.visits:g} new connections come a second. "
        f"Where a limit in time can be set it is {pace.deadline} s; “a minute” is "
        f"{pace.settled:g} s. Medians of {report.rounds_of(pace.rounds)}. `never`: not within "
        f"{pace.limit:g} s."
    )
