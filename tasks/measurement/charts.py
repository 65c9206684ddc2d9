"""Pictures of the insight report, drawn by matplotlib as SVG that is the same byte for byte for the same numbers.

Text stays text (it can be read aloud, searched and follows the page's font); colours are those of the page, chosen so
that neighbours differ in lightness as well (print, colour blindness).
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
BLUE, TEAL, AMBER, RED, VIOLET = "#2563a8", "#1d8a83", "#d08a1d", "#b83a3a", "#6b4fa0"

WIDTH_INCHES = 5.4  # narrow, so that letters stay readable on a phone

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segmentation",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
}


def _canvas(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    return figure, list(axes[0])


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # what would differ from day to day, or link outside
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawn = buffer.getvalue()
    body = drawn[drawn.index("<svg") :]
    body = re.sub(
        r'<svg ([^>]*?)width="[^"]+" height="[^"]+"|<svg height="[^"]+" width="[^"]+"', r"<svg \1", body, count=1
    )
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def paired_bars(
    title: str, labels: Sequence[str], left: Sequence[float], right: Sequence[float], names: tuple[str, str]
) -> str:
    """Two bars per label, as shares: for example customers and revenue."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _canvas(WIDTH_INCHES, 0.62 * len(labels) + 0.9)
        places = range(len(labels))
        for offset, values, colour, name in ((-0.19, left, BLUE, names[0]), (0.19, right, AMBER, names[1])):
            bars = axes.barh([place + offset for place in places], values, height=0.36, color=colour, label=name)
            axes.bar_label(bars, [f"{value:.0%}" for value in values], padding=4, fontsize=10, color=MUTED)
        _categories(axes, labels)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xlim(0, max([*left, *right, 0.01]) * 1.12)
        axes.legend(loc="lower right", frameon=False)
        return _svg(figure, title)


def bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    show: str,
    intervals: Sequence[tuple[float, float]] | None = None,
) -> str:
    """One bar per label with its value in words (``show`` is a format) and, where given, its interval."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _canvas(WIDTH_INCHES, 0.42 * len(labels) + 0.7)
        drawn = axes.barh(range(len(labels)), values, height=0.6, color=TEAL)
        reach = list(values)
        if intervals:
            below = [max(0.0, value - low) for value, (low, _) in zip(values, intervals, strict=True)]
            above = [max(0.0, high - value) for value, (_, high) in zip(values, intervals, strict=True)]
            axes.errorbar(
                values, range(len(labels)), xerr=[below, above], fmt="none", ecolor=INK, elinewidth=1, capsize=3
            )
            reach = [high for _, high in intervals]
            for place, (value, high) in enumerate(zip(values, reach, strict=True)):
                axes.annotate(
                    show.format(value),
                    (high, place),
                    (5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=10,
                    color=MUTED,
                )
        else:
            axes.bar_label(drawn, [show.format(value) for value in values], padding=4, fontsize=10, color=MUTED)
        _categories(axes, labels)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.set_xlim(min([0.0, *values]), max([*reach, 1e-9]) * 1.18)
        return _svg(figure, title)


def heat_map(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    show: str,
    axis_names: tuple[str, str],
) -> str:
    """A grid of numbers, darker where larger; the number stands in every cell."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _canvas(WIDTH_INCHES, 0.46 * len(rows) + 1.3)
        largest = max((value for row in values for value in row), default=0) or 1
        shade = [[(value / largest) ** 0.6 for value in row] for row in values]
        axes.imshow(shade, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                if value:
                    dark = shade[y][x] > 0.62  # noqa: PLR2004 - where white text reads better
                    axes.text(
                        x, y, show.format(value), ha="center", va="center", fontsize=10, color="white" if dark else INK
                    )
        axes.set_xticks(range(len(columns)), columns, fontsize=10)
        axes.set_yticks(range(len(rows)), rows, fontsize=10)
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _svg(figure, title)


def lines(title: str, days: Sequence[str], series: Mapping[str, Sequence[float | None]], show: str) -> str:
    """One line per series over days, named in the legend, its last value at the end; missing days are bridged."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _canvas(WIDTH_INCHES, 3.0)
        for (name, values), colour in zip(series.items(), (BLUE, AMBER, TEAL, RED, VIOLET), strict=False):
            known = [(place, value) for place, value in enumerate(values) if value is not None]
            axes.plot(*zip(*known, strict=True), color=colour, marker="o", markersize=4, linewidth=2, label=name)
            axes.annotate(
                show.format(known[-1][1]),
                known[-1],
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
                color=colour,
            )
        axes.set_xticks(range(len(days)), days, fontsize=10)
        axes.grid(axis="y", color=GRID)
        axes.legend(frameon=False, fontsize=10)
        axes.margins(x=0.1)
        return _svg(figure, title)


def _categories(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
