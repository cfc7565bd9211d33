"""What can be asked for."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from compare.options import add_choices, choose, positive

from .contenders import OTHERS, Contender
from .pace import QUICK, Pace
from .scenarios import SCENARIOS, Scenario

_DESCRIPTION = """\
Measures what happens when a crowd of clients comes back at once, through longwire, nginx and
HAProxy: how long until all have their tunnels again, and what the backends had to bear meanwhile.

Each build of longwire takes part twice: NAME with what it has against storms, and NAME-plain
without. nginx-limit and haproxy-limit have what those two know against storms.

What is missing is installed first: nginx and haproxy as packages of Debian (through sudo, without
starting a service), what draws the charts below target/bench. Results go to target/bench/results.

A whole run takes about a quarter of an hour, --quick four minutes. Only one measures at a time; a
second waits for it.
"""

_EXAMPLES = """\
examples:
  bench/storm                                      everything
  bench/storm --only longwire,haproxy --scenarios blink
  bench/storm --longwire target/release/longwire   this binary instead of building one
  bench/storm --work 10                            backends that need 10 ms for a handshake
"""


@dataclass(frozen=True)
class Options:
    """What is to be measured, and how."""

    # By name; the one without a path is this repository's, which has to be built first.
    builds: dict[str, Path | None]
    # Those that are to take part, builds included.
    names: list[str]
    others: list[Contender]
    scenarios: list[Scenario]
    pace: Pace
    results: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    parser = _parser()
    given = parser.parse_args(arguments)
    builds: dict[str, Path | None] = {"longwire": None} | dict(given.longwire)
    others = {contender.name: contender for contender in OTHERS}
    if clash := builds.keys() & (others.keys() | {"load"}):
        parser.error(f"{clash.pop()} is the name of something else")
    ours = [name for build in builds for name in (build, f"{build}-plain")]
    if given.list:
        print(_listing([*ours, *others]))
        parser.exit()
    names = choose(parser, given.only, [*ours, *others])
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    return Options(
        builds={
            name: path for name, path in builds.items() if name in names or f"{name}-plain" in names
        },
        names=names,
        others=[contender for contender in OTHERS if contender.name in names],
        scenarios=[scenarios[name] for name in choose(parser, given.scenarios, list(scenarios))],
        pace=_pace(given),
        results=given.results,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/storm",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}; `grow` has one")
    add(
        "--work",
        type=positive(float),
        metavar="MS",
        help=f"what a handshake costs a backend, default {Pace.work * 1000:.0f} ms",
    )
    add("--quick", action="store_true", help="a tenth of the crowd, to see that it works")
    add_choices(parser)
    return parser


def _pace(given: argparse.Namespace) -> Pace:
    pace = QUICK if given.quick else Pace()
    if given.rounds:
        pace = replace(pace, rounds=given.rounds)
    if given.work:
        pace = replace(pace, work=given.work / 1000)
    return pace


def _listing(proxies: list[str]) -> str:
    lines = ["proxies:", *(f"  {name}" for name in proxies), "scenarios:"]
    for scenario in SCENARIOS:
        lines.append(f"  {scenario.name:6} {scenario.summary}")
        lines += [
            f"         {figure.name:14} {figure.title}{figure.unit and ', '}{figure.unit}"
            for figure in scenario.figures
        ]
    return "\n".join(lines)
