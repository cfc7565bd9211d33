"""What can be asked for."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .pace import QUICK, Pace
from .peers import OTHERS, Peer, Role
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
class Options:
    """What is to be measured, and how."""

    # By name; the one without a path is this repository's, which has to be built first.
    builds: dict[str, Path | None]
    others: list[Peer]
    scenarios: list[Scenario]
    schemes: list[str]
    pace: Pace
    results: Path | None


def parse(arguments: list[str] | None = None) -> Options:
    """Reads the command line, or ends the program: with what is wrong, or with what was asked."""
    parser = _parser()
    given = parser.parse_args(arguments)
    builds: dict[str, Path | None] = {"longwire": None} | dict(given.longwire)
    others = {peer.name: peer for peer in OTHERS}
    if clash := builds.keys() & (others.keys() | {"load"}):
        parser.error(f"{clash.pop()} is the name of something else")
    if given.list:
        print(_listing([*builds, *others]))
        parser.exit()
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = choose(parser, given.only, [*builds, *others])
    return Options(
        builds={name: path for name, path in builds.items() if name in chosen},
        others=[peer for peer in OTHERS if peer.name in chosen or peer.role is Role.DIRECT],
        scenarios=[scenarios[name] for name in choose(parser, given.scenarios, list(scenarios))],
        schemes=choose(parser, given.schemes, list(SCHEMES)),
        pace=_pace(given),
        results=given.results,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench/run",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=positive(int), metavar="N", help=f"default {Pace.rounds}")
    add(
        "--seconds",
        type=positive(float),
        metavar="S",
        help=f"how long each measurement takes, default {Pace.window}",
    )
    add("--schemes", metavar="NAME,…", help="ws or wss alone")
    add("--quick", action="store_true", help="little of everything, to see that it works")
    add_choices(parser)
    return parser


def add_choices(parser: argparse.ArgumentParser) -> None:
    """What every command can be told: what to measure, and where to write."""
    add = parser.add_argument
    add("--only", metavar="NAME,…", help="these proxies alone")
    add("--scenarios", metavar="NAME,…", help="these scenarios alone")
    add(
        "--longwire",
        type=parse_build,
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="measure this binary too, under this name; without a name, instead of building one; "
        "may be repeated",
    )
    add("--results", type=parse_folder, metavar="FOLDER", help="default target/bench/results/DATE")
    add("--list", action="store_true", help="list proxies, scenarios and figures, and stop")


def _pace(given: argparse.Namespace) -> Pace:
    pace = QUICK if given.quick else Pace()
    if given.rounds:
        pace = replace(pace, rounds=given.rounds)
    if given.seconds:
        pace = replace(pace, window=given.seconds)
    return pace


def choose(parser: argparse.ArgumentParser, given: str | None, known: list[str]) -> list[str]:
    """Those that are named, in the order in which they are known; all if none is."""
    if given is None:
        return known
    names = {name.strip() for name in given.split(",")}
    for name in sorted(names - set(known)):
        parser.error(f"{name!r} is none of {', '.join(known)}")
    return [name for name in known if name in names]


def parse_build(given: str) -> tuple[str, Path]:
    """A binary of longwire, and what it is called."""
    name, equals, path = given.rpartition("=")
    binary = Path(path).resolve()
    if not binary.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    if equals and not name.replace("-", "").replace(".", "").isalnum():
        raise argparse.ArgumentTypeError(f"{name!r} is no name of letters, digits, - and .")
    return name or "longwire", binary


def parse_folder(given: str) -> Path:
    """A folder, wherever we are."""
    return Path(given).resolve()


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Reads a number of this kind that is more than 0."""

    def parse(given: str) -> float:
        value = kind(given)
        if value <= 0:
            raise argparse.ArgumentTypeError("it has to be more than 0")
        return value

    return parse


def _listing(proxies: list[str]) -> str:
    lines = ["proxies:", *(f"  {name}" for name in proxies), "scenarios:"]
    for scenario in SCENARIOS:
        lines.append(f"  {scenario.name:10} {scenario.summary}")
        lines += [
            f"             {figure.name:20} {figure.title}, {figure.unit}"
            for figure in scenario.figures(Pace())
        ]
    return "\n".join(lines)
