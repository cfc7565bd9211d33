"""What can be asked for."""

from dataclasses import replace

from rig import options
from rig.options import CommandLine, positive

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


# What is to be measured, and how.
Options = options.Options[Contender, Scenario, Pace]


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    line = _command_line()
    given = line.read(arguments)
    others = list(dict.fromkeys(contender.name for contender in OTHERS))
    builds = line.builds(others)
    line.show_if_asked([*builds, *others], SCENARIOS)
    names = line.choose(given.only, [*builds, *others])
    pace = QUICK if given.quick else Pace()
    return Options(
        builds={name: path for name, path in builds.items() if name in names},
        others=[contender for contender in OTHERS if contender.name in names],
        scenarios=line.scenarios(SCENARIOS),
        pace=replace(pace, rounds=given.rounds or pace.rounds),
        results=given.results,
    )


def _command_line() -> CommandLine:
    line = CommandLine("bench/operate", _DESCRIPTION, _EXAMPLES)
    line.add("--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}")
    line.add("--quick", action="store_true", help="little of everything, to see that it works")
    return line
