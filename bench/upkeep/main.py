"""The whole run: install, build, measure, report."""

import sys
from pathlib import Path
from typing import Any

from rig import conduct, report
from rig.equipment import Equipment
from rig.rounds import Rounds

from . import certificates, options
from .contenders import longwire
from .options import Options
from .pace import Pace
from .stage import Theatre


def main() -> int:
    """Runs what the command line asks for. The status to exit with."""
    asked = options.parse()
    return conduct.whole_run(asked.results, "-operate", lambda work: _rounds(asked, work), _write)


def _rounds(asked: Options, folder: Path) -> Rounds:
    conduct.install_peers({contender.name for contender in asked.others})
    certificates.make()
    builds = conduct.binaries(asked.builds)
    return Rounds(
        contenders=[*(longwire(name, binary) for name, binary in builds.items()), *asked.others],
        scenarios=asked.scenarios,
        pace=asked.pace,
        theatre=Theatre(Equipment.gather(asked.pace.files(), folder), asked.pace),
    )


def _write(results: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    facts |= {"versions": rounds.versions()}
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
