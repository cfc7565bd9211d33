"""What every command can be asked for."""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

Proxy = TypeVar("Proxy")
Scenario = TypeVar("Scenario")
Pace = TypeVar("Pace")


@dataclass(frozen=True)
class Options(Generic[Proxy, Scenario, Pace]):
    """What is to be measured, and how."""

    # By name; the one without a path is this repository's, which has to be built first.
    builds: dict[str, Path | None]
    others: list[Proxy]
    scenarios: list[Scenario]
    pace: Pace
    results: Path | None


class CommandLine:
    """What a command can be told, and what it was told."""

    def __init__(self, command: str, description: str, examples: str) -> None:
        self._parser = argparse.ArgumentParser(
            prog=command,
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # What this command alone can be told.
        self.add = self._parser.add_argument

    def read(self, arguments: list[str] | None) -> argparse.Namespace:
        """Reads the command line, or ends the program: with what is wrong, or with help."""
        self.add("--only", metavar="NAME,…", help="these proxies alone")
        self.add("--scenarios", metavar="NAME,…", help="these scenarios alone")
        self.add(
            "--longwire",
            type=_build,
            action="append",
            default=[],
            metavar="[NAME=]PATH",
            help="measure this binary too, under this name; without a name, instead of building "
            "one; may be repeated",
        )
        self.add(
            "--results", type=_folder, metavar="FOLDER", help="default target/bench/results/DATE"
        )
        self.add(
            "--list", action="store_true", help="list proxies, scenarios and figures, and stop"
        )
        self._given = self._parser.parse_args(arguments)
        return self._given

    def builds(self, others: list[str]) -> dict[str, Path | None]:
        """The builds of longwire that are named, beside those others."""
        builds: dict[str, Path | None] = {"longwire": None} | dict(self._given.longwire)
        if clash := builds.keys() & {*others, "load"}:
            self._parser.error(f"{clash.pop()} is the name of something else")
        return builds

    def scenarios(self, known: list[Scenario]) -> list[Scenario]:
        """Those that are named; all if none is."""
        names = self.choose(self._given.scenarios, [scenario.name for scenario in known])
        return [scenario for scenario in known if scenario.name in names]

    def choose(self, given: str | None, known: list[str]) -> list[str]:
        """Those that are named, in the order in which they are known; all if none is."""
        if given is None:
            return known
        names = {name.strip() for name in given.split(",")}
        for name in sorted(names - set(known)):
            self._parser.error(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in names]

    def show_if_asked(
        self,
        proxies: list[str],
        scenarios: list[Any],
        figures: Callable[[Any], Iterable[Any]] = lambda scenario: scenario.figures,
    ) -> None:
        """Lists what there is, if that is asked for, and ends the program."""
        if not self._given.list:
            return
        print("\n".join(["proxies:", *(f"  {name}" for name in proxies), "scenarios:"]))
        wide = max(len(scenario.name) for scenario in scenarios)
        wider = max(len(figure.name) for scenario in scenarios for figure in figures(scenario))
        for scenario in scenarios:
            print(f"  {scenario.name:{wide}} {scenario.summary}")
            for figure in figures(scenario):
                unit = figure.unit and f", {figure.unit}"
                print(f"  {'':{wide}} {figure.name:{wider}} {figure.title}{unit}")
        self._parser.exit()


def _build(given: str) -> tuple[str, Path]:
    """A binary of longwire, and what it is called."""
    name, equals, path = given.rpartition("=")
    binary = Path(path).resolve()
    if not binary.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    if equals and not name.replace("-", "").replace(".", "").isalnum():
        raise argparse.ArgumentTypeError(f"{name!r} is no name of letters, digits, - and .")
    return name or "longwire", binary


def _folder(given: str) -> Path:
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
