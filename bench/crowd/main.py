"""The whole run: install, build, measure, report."""

import sys
from pathlib import Path
from typing import Any

from rig import conduct, report
from rig.equipment import Equipment
from rig.rounds import Rounds

from . import options
from .contenders import Contender, longwire
from .options import Options
from .pace import BACKENDS, Pace
from .scenarios import STEP
from .stage import Theatre


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    return conduct.whole_run(asked.results, "-storm", lambda work: _rounds(asked, work), _write)


def _rounds(asked: Options, folder: Path) -> Rounds:
    conduct.install_peers({contender.name for contender in asked.others})
    return Rounds(
        contenders=_builds(asked) + asked.others,
        scenarios=asked.scenarios,
        pace=asked.pace,
        theatre=Theatre(Equipment.gather(asked.pace.files(), folder), asked.pace),
    )


def _builds(asked: Options) -> list[Contender]:
    """The builds of longwire."""
    return [
        contender
        for name, binary in conduct.binaries(asked.builds).items()
        for contender in longwire(name, binary)
        if contender.name in asked.names
    ]


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    facts |= {
        "versions": rounds.versions(),
        "roles": {one.name: one.peer.role.value for one in rounds.contenders},
        "backends": BACKENDS,
        "step": STEP,
    }
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
