"""What can be asked for."""

import argparse
from dataclasses import dataclass, replace

from rig import options
from rig.options import CommandLine, positive
from rig.peers import Peer, Role

from .pace import QUICK, Pace
from .peers import OTHERS
from .rounds import SCHEMES
from .scenarios import SCENARIOS, Scenario

_DESCRIPTION = """\
Measures longwire beside nginx, HAProxy, Envoy and Caddy on the same work, and prints a table.

Each proxy has one CPU, and the clients with their backend another. What is compared is the
proxy's own CPU time and memory. `relay` is a blind relay, the floor of what a proxy can cost.

What is missing is installed first: nginx and haproxy as packages of Debian (through sudo, without
starting a service), the others below target/bench. Results go to target/bench/results.

A whole run takes about 32 minutes on two quiet CPUs, --quick two. Only one measures at a time; a
second waits for it.
"""

_EXAMPLES = """\
examples:
  bench/run                                        everything
  bench/run --only longwire,haproxy --scenarios echo,get
  bench/run --longwire before=/tmp/longwire --only longwire,before --scenarios echo
                                                   two builds side by side
"""


@dataclass(frozen=True)
class Options(options.Options[Peer, Scenario, Pace]):
    """What is to be measured, and how."""

    schemes: list[str]


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    line = _command_line()
    given = line.read(arguments)
    builds = line.builds([peer.name for peer in OTHERS])
    proxies = [*builds, *(peer.name for peer in OTHERS)]
    line.show_if_asked(proxies, SCENARIOS, lambda scenario: scenario.figures(Pace()))
    chosen = line.choose(given.only, proxies)
    return Options(
        builds={name: path for name, path in builds.items() if name in chosen},
        others=[peer for peer in OTHERS if peer.name in chosen or peer.role is Role.DIRECT],
        scenarios=line.scenarios(SCENARIOS),
        schemes=line.choose(given.schemes, list(SCHEMES)),
        pace=_pace(given),
        results=given.results,
    )


def _command_line() -> CommandLine:
    line = CommandLine("bench/run", _DESCRIPTION, _EXAMPLES)
    line.add("--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}")
    line.add(
        "--seconds",
        type=positive(float),
        metavar="S",
        help=f"how long each measurement takes, default {Pace.window}",
    )
    line.add("--schemes", metavar="NAME,…", help="ws or wss alone")
    line.add("--quick", action="store_true", help="little of everything, to see that it works")
    return line


def _pace(given: argparse.Namespace) -> Pace:
    pace = QUICK if given.quick else Pace()
    if given.rounds:
        pace = replace(pace, rounds=given.rounds)
    if given.seconds:
        pace = replace(pace, window=given.seconds)
    return pace
