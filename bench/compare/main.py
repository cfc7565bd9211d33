"""The whole run: install, build, measure, report."""

import sys
import time
from pathlib import Path
from typing import Any

from . import conduct, install, machine, options, places, report
from .bench import Workshop
from .options import Options
from .peers import Peer, longwire
from .processes import Ports
from .rounds import Rounds
from .summary import summarise


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    conduct.heed_signals()
    with conduct.alone():
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
        is_complete = conduct.to_its_end(rounds.run)
    _write(results, rounds, facts | {"is_complete": is_complete})
    return 0 if is_complete else 130


def _prepare(asked: Options) -> None:
    """Everything that has to be there before a measurement."""
    conduct.install_peers({peer.name for peer in asked.others})
    install.certificate()


def _builds(asked: Options) -> list[Peer]:
    """The builds of longwire."""
    return [
        longwire(name, conduct.copy(binary or install.build_longwire(), name))
        for name, binary in asked.builds.items()
    ]


def _workshop(asked: Options, folder: Path) -> Workshop:
    load = conduct.copy(install.build_load(), "load")
    files = conduct.allow_files(asked.pace.files())
    return Workshop(load, conduct.share_cpus(), Ports(), files, folder)


def _facts(rounds: Rounds) -> dict[str, Any]:
    return {
        "machine": machine.describe(),
        "versions": {peer.name: peer.version() for peer in rounds.peers},
        "rounds": rounds.pace.rounds,
    }


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    summary = summarise(rounds)
    table = report.markdown(summary, facts)
    (results / "table.md").write_text(table)
    report.write_json(results / "results.json", rounds, summary, facts)
    print(table)
    conduct.draw("compare/chart.py", results / "results.json", results / "chart.svg")
    print(f"Results: {results}", file=sys.stderr)
