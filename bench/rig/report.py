"""Writes what was found: a table to read, and everything there is in results.json."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .rounds import Figure, Record, Rounds, Scenario


def markdown(rounds: Rounds, facts: dict[str, Any], title: str, about: str) -> str:
    """The whole report; `about` says what was done, in a few sentences."""
    sections = [_head(facts, title, about)]
    for scenario in filter(rounds.taking_part, rounds.scenarios):
        sections += [f"## {scenario.name}: {scenario.summary}", _table(rounds, scenario)]
        sections.append(_failures(rounds, scenario))
    sections.append(_machine(rounds))
    return "\n\n".join(section for section in sections if section) + "\n"


def write_json(path: Path, rounds: Rounds, facts: dict[str, Any]) -> None:
    """Every single value, the medians, and what they were measured on."""
    medians = [
        {
            "scenario": scenario.name,
            "figure": figure.name,
            "title": figure.title,
            "unit": figure.unit,
            "medians": {
                one.name: rounds.median(scenario, one.name, figure.name)
                for one in rounds.taking_part(scenario)
            },
        }
        for scenario in rounds.scenarios
        for figure in scenario.figures
    ]
    everything = facts | {
        "pace": asdict(rounds.pace),
        "summaries": {scenario.name: scenario.summary for scenario in rounds.scenarios},
        "figures": medians,
        "records": [asdict(record) for record in rounds.records],
    }
    path.write_text(json.dumps(_finite(everything), ensure_ascii=False) + "\n")


def _finite(value: Any) -> Any:
    """JSON knows no infinity: what never happened is null."""
    match value:
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def rounds_of(count: int) -> str:
    """In words."""
    return "one round" if count == 1 else f"{count} rounds"


def _head(facts: dict[str, Any], title: str, about: str) -> str:
    machine = facts["machine"]
    lines = [
        f"# {title}",
        "",
        f"{machine['date']}, {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory']}, "
        f"Linux {machine['kernel']}, {machine['system']}, source at {machine['commit']}.",
        "",
        *(f"- {name}: {version}" for name, version in facts["versions"].items() if version),
        "",
        about,
    ]
    if not facts["is_complete"]:
        lines += ["", "**The run was broken off: some figures are missing.**"]
    return "\n".join(lines)


def _table(rounds: Rounds, scenario: Scenario) -> str:
    names = [contender.name for contender in rounds.taking_part(scenario)]
    lines = [_line(["", *names]), "|---|" + "--:|" * len(names)]
    for figure in scenario.figures:
        cells = [_cell(rounds, scenario, name, figure) for name in names]
        lines.append(_line([f"{figure.title}{figure.unit and ', '}{figure.unit}", *cells]))
    return "\n".join(lines)


def _cell(rounds: Rounds, scenario: Scenario, name: str, figure: Figure) -> str:
    records = rounds.of(scenario, name)
    missing = sum(record.outcome is None for record in records)
    value = rounds.median(scenario, name, figure.name)
    if value is None:
        return "**failed**" if records else ""
    note = f" ({missing} of {len(records)} rounds failed)" if missing else ""
    return _number(value) + note


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def _failures(rounds: Rounds, scenario: Scenario) -> str:
    """What went wrong for clients, round by round, and which rounds came to nothing."""
    records = [record for record in rounds.records if record.scenario == scenario.name]
    lines = [f"- {record.contender}, round {record.round}: {said}" for record in records
             if (said := _said(record))]  # fmt: skip
    return "\n".join(["What clients got that went wrong:", "", *sorted(lines)]) if lines else ""


def _said(record: Record) -> str:
    if record.outcome is None:
        return f"no figures: {record.failure}"
    reasons = sorted(record.outcome.failures.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons)


def _machine(rounds: Rounds) -> str:
    busy = sorted(record.machine_busy for record in rounds.records)
    if not busy:
        return ""
    return (
        f"All that ran on the machine, proxy, crowd and backends included, used {busy[0]:.0%} to "
        f"{busy[-1]:.0%} of a CPU."
    )


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
