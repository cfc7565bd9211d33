"""What can be asked for."""

import argparse
from dataclasses import dataclass, replace

from rig import options
from rig.options import CommandLine, positive

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
class Options(options.Options[Contender, Scenario, Pace]):
    """What is to be measured, and how."""

    # Those that are to take part, builds included.
    names: list[str]


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    line = _command_line()
    given = line.read(arguments)
    others = list(dict.fromkeys(contender.name for contender in OTHERS))
    builds = line.builds(others)
    ours = [name for build in builds for name in (build, f"{build}-plain")]
    line.show_if_asked([*ours, *others], SCENARIOS)
    names = line.choose(given.only, [*ours, *others])
    return Options(
        builds={
            name: path for name, path in builds.items() if name in names or f"{name}-plain" in names
        },
        names=names,
        others=[contender for contender in OTHERS if contender.name in names],
        scenarios=line.scenarios(SCENARIOS),
        pace=_pace(given),
        results=given.results,
    )


def _command_line() -> CommandLine:
    line = CommandLine("bench/storm", _DESCRIPTION, _EXAMPLES)
    line.add(
        "--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}; `grow` has one"
    )
    line.add(
        "--work",
        type=positive(float),
        metavar="MS",
        help=f"what a handshake costs a backend, default {Pace.work * 1000:.0f} ms",
    )
    line.add("--quick", action="store_true", help="a tenth of the crowd, to see that it works")
    return line


def _pace(given: argparse.Namespace) -> Pace:
    pace = QUICK if given.quick else Pace()
    if given.rounds:
        pace = replace(pace, rounds=given.rounds)
    if given.work:
        pace = replace(pace, work=given.work / 1000)
    return pace
