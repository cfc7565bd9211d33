"""Writes what was found: a table to read, and everything there is in results.json."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rig.peers import Peer, Role

from .rounds import Rounds
from .summary import Cell, Row, Summary


def markdown(summary: Summary, facts: dict[str, Any]) -> str:
    """The whole report."""
    sections = [
        _head(facts),
        _table(summary),
        "How busy the proxy's CPU and that of clients and backend were, in per cent. A figure is "
        "the proxy's own CPU time, so a busy load program does not enter into it.",
        _busy_table(summary),
        _spread(summary),
        _others(summary),
        _failures(summary),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def write_json(path: Path, rounds: Rounds, summary: Summary, facts: dict[str, Any]) -> None:
    """Every single value, the medians, and what they were measured on."""
    medians = [
        {
            "scenario": scenario.name,
            "scheme": row.scheme,
            "figure": row.figure.name,
            "title": row.figure.title,
            "unit": row.figure.unit,
            "medians": {peer: cell.median for peer, cell in row.cells.items()},
        }
        for scenario, rows in summary.sections
        for row in rows
    ]
    everything = facts | {
        "peers": [{"name": peer.name, "role": peer.role.value} for peer in summary.peers],
        "pace": asdict(rounds.pace),
        "figures": medians,
        "records": [asdict(record) for record in rounds.records],
    }
    path.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")


def _head(facts: dict[str, Any]) -> str:
    machine = facts["machine"]
    lines = [
        "# longwire beside its peers",
        "",
        f"{machine['date']}, {machine['cpu']}, {machine['cpus']} CPUs, {machine['memory']}, "
        f"Linux {machine['kernel']}, {machine['system']}, source at {machine['commit']}.",
        "",
        *(f"- {name}: {version}" for name, version in facts["versions"].items() if version),
        "",
        f"Medians of {_rounds(facts['rounds'])}; less is better unless it says otherwise. "
        "Each proxy has one CPU, and clients and backend have another.",
    ]
    if not facts["is_complete"]:
        lines += ["", "**The run was broken off: some figures are missing.**"]
    return "\n".join(lines)


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _table(summary: Summary) -> str:
    ratios = _ratios(summary)
    titles = ["", "", *(peer.name for peer in summary.peers), *(title for title, _ in ratios)]
    lines = _header(titles)
    for row in _rows(summary):
        cells = [_value(row.cells.get(peer.name)) for peer in summary.peers]
        cells += [_ratio(compute(row)) for _, compute in ratios]
        lines.append(_line([f"{row.figure.title}, {_unit(row)}", row.scheme, *cells]))
    return "\n".join(lines)


def _busy_table(summary: Summary) -> str:
    lines = _header(["proxy / load", "", *(peer.name for peer in summary.peers)])
    for row in (row for row in _rows(summary) if not row.figure.is_same_work):
        cells = [_busy(row.cells.get(peer.name)) for peer in summary.peers]
        if any(cells):
            lines.append(_line([row.figure.title, row.scheme, *cells]))
    return "\n".join(lines)


def _spread(summary: Summary) -> str:
    """How far rounds lie apart: differences below this mean nothing."""
    spreads = sorted(
        cell.spread
        for row in _rows(summary)
        for cell in row.cells.values()
        if cell.spread is not None and len(cell.values) > 1
    )
    if not spreads:
        return ""
    half, most = spreads[len(spreads) // 2], spreads[len(spreads) * 9 // 10]
    return (
        f"Between its rounds, half of the figures differ by less than {half:.1%}, and nine in ten "
        f"by less than {most:.1%}."
    )


def _others(summary: Summary) -> str:
    """How quiet the machine was: whatever else ran took CPU and caches from what was measured."""
    busy = sorted(
        record.others_busy
        for row in _rows(summary)
        for cell in row.cells.values()
        for record in cell.records
        if record.others_busy is not None
    )
    if not busy:
        return ""
    half, most = busy[len(busy) // 2], busy[len(busy) * 9 // 10]
    return (
        f"Everything else on the machine used less than {half:.1%} of a CPU in half of the "
        f"measurements, and less than {most:.1%} in nine of ten. The less, the better: work beside "
        "it makes all figures worse, and some more than others."
    )


def _failures(summary: Summary) -> str:
    """Why figures are missing, and what of the work failed. One line for what failed as one."""
    lines: dict[str, None] = {}
    for scenario, rows in summary.sections:
        for row in rows:
            for peer, cell in row.cells.items():
                for record in cell.records:
                    if record.value is None or record.failed:
                        what = f"{record.failed} failed" if record.failed else "no figure"
                        where = f"{peer}, {row.scheme}, {scenario.name}, round {record.round}"
                        lines[f"- {where}: {what}: {record.failure}"] = None
    return "\n".join(["Failures:", "", *lines]) if lines else ""


def _ratios(summary: Summary) -> list[tuple[str, Callable[[Row], float | None]]]:
    """Every build of longwire beside the best peer and the floor, and beside the first build."""
    builds, peers = summary.of(Role.LONGWIRE), summary.of(Role.PEER)
    floor = summary.of(Role.FLOOR)
    columns = []
    for build in builds:
        for title, beside in (
            ("best peer", peers),
            ("floor", floor),
            (builds[0].name, builds[:1] if build is not builds[0] else []),
        ):
            if beside:
                columns.append((f"{build.name} ÷ {title}", _compute(build, beside)))
    return columns


def _compute(build: Peer, beside: list[Peer]) -> Callable[[Row], float | None]:
    return lambda row: row.ratio(build, beside)


def _rows(summary: Summary) -> list[Row]:
    return [row for _, rows in summary.sections for row in rows]


def _unit(row: Row) -> str:
    return row.figure.unit + (" (more is better)" if row.figure.more_is_better else "")


def _value(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.median is None:
        return "**failed**"
    missing = len(cell.records) - len(cell.values)
    failed = sum(record.failed for record in cell.records)
    notes = [f"{missing} of {len(cell.records)} rounds failed"] if missing else []
    notes += [f"{failed} failures"] if failed else []
    return _number(cell.median) + (f" ({', '.join(notes)})" if notes else "")


def _number(value: float) -> str:
    """Three digits that count, and no more than two after the point."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _busy(cell: Cell | None) -> str:
    busy = cell and cell.busy()
    return f"{busy[0]:.0%} / {busy[1]:.0%}" if busy else ""


def _header(titles: list[str]) -> list[str]:
    return [_line(titles), "|" + "|".join(["---", "---"] + ["--:"] * (len(titles) - 2)) + "|"]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
