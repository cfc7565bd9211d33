"""Draws the charts of a storm's results.json: one a scenario, a column a proxy.

It runs by itself, in the environment that has matplotlib: chart.py RESULTS FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.ticker import MaxNLocator  # noqa: E402

# Distinct to colour-blind eyes, and in grey. The first is the backend that things happen to.
BACKENDS = ["#d55e00", "#0072b2", "#56b4e9", "#9aa3ad"]
INK, FAINT, LINE = "#1d2733", "#66717d", "#d5dae0"
TITLES = {
    "kill": "One of four backends is killed",
    "cold": "The killed backend comes back, cold",
    "blink": "All clients lose their tunnels at once",
    "grow": "A third backend joins two that have all tunnels",
}


def main(results: Path, folder: Path) -> None:
    """Draws what there is to draw."""
    everything = json.loads(results.read_text())
    plt.rcParams |= {
        "font.family": "sans-serif", "font.size": 8.5, "text.color": INK, "axes.labelcolor": FAINT,
        "axes.edgecolor": LINE, "xtick.color": FAINT, "ytick.color": FAINT,
    }  # fmt: skip
    for scenario in TITLES:
        runs = _first_runs(everything, scenario)
        if runs:
            is_storm = scenario != "grow"
            drawing = _storm(everything, scenario, runs) if is_storm else _shares(everything, runs)
            drawing.savefig(folder / f"{scenario}.svg", facecolor="white")
            plt.close(drawing)


def _first_runs(everything: dict[str, Any], scenario: str) -> dict[str, dict[str, Any]]:
    """What there is to draw of each proxy: its first round that has an outcome."""
    runs: dict[str, dict[str, Any]] = {}
    for record in everything["records"]:
        if record["scenario"] == scenario and record["outcome"]:
            runs.setdefault(record["contender"], record["outcome"]["series"])
    # In the order of the table, whoever began.
    return {name: runs[name] for name in everything["roles"] if name in runs}


def _storm(
    everything: dict[str, Any], scenario: str, runs: dict[str, dict[str, Any]]
) -> plt.Figure:
    """Handshakes on top, open tunnels below."""
    pace = everything["pace"]
    drawing, grid = _grid(2, len(runs), 4.6)
    asked = max(max(map(max, run["asked"])) for run in runs.values())
    tunnels = max(max(run["open"]) for run in runs.values())
    end = max(run["times"][-1] for run in runs.values())
    for column, (name, run) in enumerate(runs.items()):
        top, below = grid[0][column], grid[1][column]
        _title(top, name, everything)
        # The one that was killed is drawn last, above its siblings.
        for place in reversed(range(len(run["asked"]))):
            top.plot(run["times"], run["asked"][place], color=BACKENDS[place], linewidth=1.3)
        capacity = everything["step"] / pace["work"]
        top.axhline(capacity, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
        below.fill_between(run["times"], run["open"], color="#0072b2", alpha=0.18, linewidth=0)
        below.plot(run["times"], run["open"], color="#0072b2", linewidth=1.3)
        top.set_ylim(0, 1.05 * asked)
        below.set_ylim(0, 1.05 * tunnels)
        for axes in (top, below):
            axes.set_xlim(-0.5, end)
        below.set_xlabel("seconds")
    grid[0][0].set_ylabel(f"handshakes a backend got\nin {everything['step'] * 1000:.0f} ms")
    grid[1][0].set_ylabel("tunnels open")
    first = "one backend" if scenario == "blink" else "the killed backend"
    _heading(
        drawing,
        TITLES[scenario],
        f"{pace['tunnels']:,} tunnels over four backends, {pace['work'] * 1000:g} ms a handshake.",
        {first: BACKENDS[:1], "its siblings": BACKENDS[1:], "what each can take": [FAINT]},
    )
    return drawing


def _shares(everything: dict[str, Any], runs: dict[str, dict[str, Any]]) -> plt.Figure:
    """How the tunnels are spread over the backends."""
    pace = everything["pace"]
    drawing, grid = _grid(1, len(runs), 3.3)
    for axes, (name, run) in zip(grid[0], runs.items(), strict=True):
        _title(axes, name, everything)
        shares = [
            [100 * count / max(1, total) for count, total in zip(held, totals, strict=True)]
            for totals in [[sum(held) for held in zip(*run["tunnels"], strict=True)]]
            for held in run["tunnels"]
        ]
        # The one that joins comes first, in the colour of what happens.
        colours = [BACKENDS[1], BACKENDS[2], BACKENDS[0]]
        for held, colour in zip(shares, colours, strict=True):
            axes.plot(run["times"], held, color=colour, linewidth=1.6)
        axes.axhline(100 / 3, color=FAINT, linewidth=0.8, linestyle=(0, (3, 3)))
        axes.set_ylim(0, 60)
        axes.set_xlim(-0.5, run["times"][-1])
        axes.set_xlabel("seconds")
    grid[0][0].set_ylabel("share of all tunnels, %")
    _heading(
        drawing,
        TITLES["grow"],
        f"{pace['settled']:,} tunnels and a few newcomers; longwire moves {pace['moved']} a second "
        "at most, none that is younger than 10 s.",
        {
            "the backend that joins": BACKENDS[:1],
            "the two that were there": BACKENDS[1:3],
            "a third": [FAINT],
        },
    )
    return drawing


def _grid(rows: int, columns: int, height: float) -> tuple[plt.Figure, Any]:
    drawing, grid = plt.subplots(
        rows, columns, figsize=(2.1 * columns + 0.9, height), squeeze=False, sharey="row",
        sharex=True,
    )  # fmt: skip
    width = 2.1 * columns + 0.9
    drawing.subplots_adjust(
        left=0.75 / width, right=1 - 0.15 / width, top=1 - 1.2 / height, bottom=0.5 / height,
        wspace=0.12, hspace=0.18,
    )  # fmt: skip
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=LINE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(length=0)
    return drawing, grid


def _title(axes: Axes, name: str, everything: dict[str, Any]) -> None:
    is_build = everything["roles"][name] == "longwire"
    axes.set_title(
        name, loc="left", fontsize=9.5, weight="bold" if is_build else "normal",
        color=INK if is_build else FAINT,
    )  # fmt: skip


def _heading(drawing: plt.Figure, title: str, line: str, legend: dict[str, list[str]]) -> None:
    """What is seen, and which colours are who."""
    width, height = drawing.get_size_inches()
    at = 0.2 / width
    drawing.text(at, 1 - 0.3 / height, title, fontsize=13, weight="bold")
    drawing.text(at, 1 - 0.52 / height, line, fontsize=8.5, color=FAINT)
    for name, colours in legend.items():
        for colour in colours:
            mark = "╌" if colour == FAINT else "━"
            drawing.text(at, 1 - 0.78 / height, mark, color=colour)
            at += 0.13 / width
        drawing.text(at + 0.03 / width, 1 - 0.78 / height, name, color=INK)
        at += (0.068 * len(name) + 0.3) / width


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
