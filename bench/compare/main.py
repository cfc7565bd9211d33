"""The whole run: install, build, measure, report."""

import sys
from pathlib import Path
from typing import Any

from rig import conduct, install
from rig.equipment import Equipment

from . import options, report
from .bench import Workshop
from .options import Options
from .peers import longwire
from .rounds import Rounds
from .summary import summarise


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    return conduct.whole_run(asked.results, "", lambda work: _rounds(asked, work), _write)


def _rounds(asked: Options, folder: Path) -> Rounds:
    conduct.install_peers({peer.name for peer in asked.others})
    install.certificate()
    builds = conduct.binaries(asked.builds)
    return Rounds(
        peers=[*(longwire(name, binary) for name, binary in builds.items()), *asked.others],
        scenarios=asked.scenarios,
        schemes=asked.schemes,
        pace=asked.pace,
        workshop=Workshop(Equipment.gather(asked.pace.files(), folder)),
    )


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    facts |= {
        "versions": {peer.name: peer.version() for peer in rounds.peers},
        "rounds": rounds.pace.rounds,
    }
    summary = summarise(rounds)
    table = report.markdown(summary, facts)
    (results / "table.md").write_text(table)
    report.write_json(results / "results.json", rounds, summary, facts)
    print(table)
    conduct.draw("compare/chart.py", results / "results.json", results / "chart.svg")
    print(f"Results: {results}", file=sys.stderr)
