"""What can be asked for."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from compare.options import add_choices, choose, positive

from .contenders import OTHERS, Contender
from .pace import QUICK, Pace
from .scenarios import SCENARIOS, Scenario

_DESCRIPTION = """\
Measures what operating a proxy costs those who are connected: reloads, upgrades of the binary, a
graceful stop, a renewed certificate. All the while tunnels carry numbered messages both ways, and
new connections come in.

nginx-limit and haproxy-limit have a limit in time for what an operation leaves behind.

What is missing is installed first: nginx and haproxy as packages of Debian (through sudo, without
starting a service), Caddy and Envoy below target/bench. Results go to target/bench/results.

A whole run takes about three quarters of an hour, --quick eight minutes. Only one measures at a
time; a second waits for it.
"""

_EXAMPLES = """\
examples:
  bench/operate                                      everything
  bench/operate --only longwire,haproxy --scenarios reload,stop
  bench/operate --longwire target/release/longwire   this binary instead of building one
"""


@dataclass(frozen=True)
class Options:
    """What is to be measured, and how."""

    # By name; the one without a path is this repository's, which has to be built first.
    builds: dict[str, Path | None]
    others: list[Contender]
    scenarios: list[Scenario]
    pace: Pace
    results: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    parser = _parser()
    given = parser.parse_args(arguments)
    builds: dict[str, Path | None] = {"longwire": None} | dict(given.longwire)
    others = list(dict.fromkeys(contender.name for contender in OTHERS))
    if clash := builds.keys() & {*others, "load"}:
        parser.error(f"{clash.pop()} is the name of something else")
    if given.list:
        print(_listing([*builds, *others]))
        parser.exit()
    names = choose(parser, given.only, [*builds, *others])
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    pace = QUICK if given.quick else Pace()
    return Options(
        builds={name: path for name, path in builds.items() if name in names},
        others=[contender for contender in OTHERS if contender.name in names],
        scenarios=[scenarios[name] for name in choose(parser, given.scenarios, list(scenarios))],
        pace=replace(pace, rounds=given.rounds or pace.rounds),
        results=given.results,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/operate",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}")
    add("--quick", action="store_true", help="little of everything, to see that it works")
    add_choices(parser)
    return parser


def _listing(proxies: list[str]) -> str:
    lines = ["proxies:", *(f"  {name}" for name in proxies), "scenarios:"]
    for scenario in SCENARIOS:
        lines.append(f"  {scenario.name:11} {scenario.summary}")
        lines += [
            f"              {figure.name:17} {figure.title}{figure.unit and ', '}{figure.unit}"
            for figure in scenario.figures
        ]
    return "\n".join(lines)
