"""Draws the chart of a results.json: one panel a figure, one bar a proxy, longwire in colour.

It runs by itself, in the environment that has matplotlib: chart.py RESULTS CHART
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

# The figures that say most, and what a reader calls them.
HEADLINES = {
    "memory.idle": "Memory of an idle tunnel",
    "memory.after-64KiB": "… after it carried 64 KiB",
    "echo.32B.many": "CPU of a round trip, all tunnels busy",
    "paced.cpu": "CPU of a round trip, few at a time",
    "paced.added": "Latency added to a round trip, median",
    "bulk.64KiB": "CPU of a gigabyte, messages of 64 KiB",
    "handshake.full": "CPU of a new tunnel",
    "handshake.resumed": "CPU of a new tunnel, TLS resumed",
    "get": "CPU of a plain GET",
}
SCHEMES = {"ws": "ws: plain", "wss": "wss: TLS 1.3 towards clients"}
UNITS = {"KiB": "KiB", "µs": "µs", "s/GB": "s"}

# Distinct to colour-blind eyes, and in grey.
BUILDS = ["#0072b2", "#56b4e9", "#e69f00"]
PEER = "#b9c0c8"
INK, FAINT = "#1d2733", "#66717d"


def main(results: Path, chart: Path) -> None:
    """Draws one from the other."""
    everything = json.loads(results.read_text())
    figures = {(figure["figure"], figure["scheme"]): figure for figure in everything["figures"]}
    schemes = [scheme for scheme in ("ws", "wss") if any(s == scheme for _, s in figures)]
    names = [name for name in HEADLINES if any((name, scheme) in figures for scheme in schemes)]
    if not names:
        return
    draw(everything, figures, names, schemes).savefig(chart, facecolor="white")


def draw(
    everything: dict[str, Any],
    figures: dict[tuple[str, str], Any],
    names: list[str],
    schemes: list[str],
) -> plt.Figure:
    """A row a figure, a column a scheme."""
    plt.rcParams |= {"font.family": "sans-serif", "font.size": 9, "text.color": INK}
    peers = [peer for peer in everything["peers"] if peer["role"] != "direct"]
    # The floor last, under those that it is the floor of.
    peers.sort(key=lambda peer: peer["role"] == "floor")
    bars = [[_shown(peers, figures.get((name, scheme))) for scheme in schemes] for name in names]
    heights = [max(len(panel) for panel in row) + 2.4 for row in bars]
    head = 7.4
    height = 0.205 * (sum(heights) + head)
    drawing, grid = plt.subplots(
        len(names),
        len(schemes),
        figsize=(5.2 * len(schemes) + 0.6, height),
        squeeze=False,
        height_ratios=heights,
    )
    top = 1 - 0.205 * head / height
    drawing.subplots_adjust(left=0.1, right=0.94, top=top, bottom=0.01, wspace=0.36, hspace=0.36)
    for axes_of_row, row, name in zip(grid, bars, names, strict=True):
        for axes, panel, scheme in zip(axes_of_row, row, schemes, strict=True):
            _panel(axes, panel, HEADLINES[name], figures.get((name, scheme)))
    for axes, scheme in zip(grid[0], schemes, strict=True):
        axes.annotate(
            SCHEMES[scheme], (0, 1), (0, 26), xycoords="axes fraction",
            textcoords="offset points", fontsize=11, color=FAINT,
        )  # fmt: skip
    _heading(drawing, everything, height)
    return drawing


def _shown(peers: list[dict[str, str]], figure: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The bars of a panel: those that take part."""
    if figure is None:
        return []
    medians = figure["medians"]
    return [peer | {"value": medians[peer["name"]]} for peer in peers if peer["name"] in medians]


def _panel(
    axes: Axes,
    bars: list[dict[str, Any]],
    title: str,
    figure: dict[str, Any] | None,
) -> None:
    axes.set_axis_off()
    if not bars or figure is None:
        return
    axes.set_title(title, loc="left", fontsize=9.5, weight="bold", pad=5)
    longest = max((bar["value"] or 0 for bar in bars), default=0) or 1
    axes.set_xlim(0, longest)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    builds = [bar["name"] for bar in bars if bar["role"] == "longwire"]
    for place, bar in enumerate(bars):
        is_build, is_floor = bar["role"] == "longwire", bar["role"] == "floor"
        value = bar["value"]
        axes.barh(
            place,
            max(value or 0, 0),
            height=0.72,
            color=_colour(bar, builds),
            edgecolor=PEER if is_floor else "none",
            hatch="//////" if is_floor else None,
            linewidth=0.8,
        )
        style = {"va": "center", "weight": "bold" if is_build else "normal"}
        colour = INK if is_build else FAINT
        axes.annotate(
            bar["name"], (0, place), (-5, 0), textcoords="offset points", ha="right",
            color=colour, **style,
        )  # fmt: skip
        said = "failed" if value is None else f"{_number(value)} {UNITS[figure['unit']]}"
        axes.annotate(
            said, (max(value or 0, 0), place), (4, 0), textcoords="offset points", ha="left",
            color=colour, **style,
        )  # fmt: skip


def _colour(bar: dict[str, Any], builds: list[str]) -> str:
    if bar["role"] == "longwire":
        return BUILDS[builds.index(bar["name"]) % len(BUILDS)]
    return "white" if bar["role"] == "floor" else PEER


def _heading(drawing: plt.Figure, everything: dict[str, Any], height: float) -> None:
    machine = everything["machine"]
    lines = [
        ("longwire beside its peers", 15, "bold", INK, 0.32),
        ("One CPU for each proxy. Shorter is better.", 10, "normal", INK, 0.55),
        (
            f"Medians of {_rounds(everything['rounds'])} on {machine['cpu']}, "
            f"Linux {machine['kernel']}, {machine['date'][:10]}. "
            "relay: a blind relay, the least that a proxy can cost.",
            8, "normal", FAINT, 0.74,
        ),
    ]  # fmt: skip
    for text, size, weight, colour, down in lines:
        drawing.text(
            0.015, 1 - down / height, text, fontsize=size, weight=weight, color=colour,
            va="baseline",
        )  # fmt: skip


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"


def _number(value: float) -> str:
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
