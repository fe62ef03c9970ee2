"""Draws a file of results: a picture, and a page that shows it with all numbers."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import results_file
from .throughput_settings import MATRIX_PRODUCT

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_WIDTH, _LEAST_HEIGHT, _BAR_HEIGHT = 8.0, 1.2, 0.32  # In inches.
_FRAME_HEIGHT = 0.9  # Of heading and caption.
_DOTS_PER_INCH = 120
_CAPTION = "bars: medians; whiskers: from the lower to the upper quartile of the rounds"
# Columns of the page's table; what they have beside these is said once where it is the same.
_SHOWN = (
    *("contender", "against", "measure", "unit", "rounds", "median", "q1", "q3", "low", "high"),
    *("images_per_second", "target", "outcome", "note"),
)
_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }
table { border-collapse: collapse; } img { max-width: 100%; }
td, th { border-bottom: 1px solid #ccc; padding: .2em .6em; text-align: left; }
"""

Lines = Sequence[Mapping[str, str]]


def check(out: Path | None) -> None:
    """Raises ValueError where there is no file of results that could be drawn."""
    if out is None:
        raise ValueError("--plot draws the file of --out: give one, as in --out results.csv.")


def draw(path: Path, titles: Mapping[str, str]) -> tuple[Path, Path]:
    """Draws a file of results.

    Args:
        path: a file that a benchmark's `--out` wrote.
        titles: by measure what it is called, with its unit.

    Returns:
        The picture and the page, beside it under its name: `.png` and `.html`.

    Raises:
        OSError: it can't be read, or they can't be written.
        ValueError: it has no results.
    """
    lines = results_file.read_csv(path)
    png = _png(figure_of(lines, titles))
    picture, page = path.with_suffix(".png"), path.with_suffix(".html")
    picture.write_bytes(png)
    page.write_text(page_of(lines, png, titles), encoding="utf-8")
    return picture, page


def figure_of(lines: Lines, titles: Mapping[str, str]) -> matplotlib.figure.Figure:
    """The picture: a panel a measure, with a bar a contender.

    Args:
        lines: of a file of results.
        titles: by measure what it is called, with its unit.

    Raises:
        ValueError: they have no number.
    """
    import matplotlib.figure

    drawn = _drawn(lines)
    heights = [_LEAST_HEIGHT + _BAR_HEIGHT * len(of_measure) for of_measure in drawn.values()]
    size = _WIDTH, _FRAME_HEIGHT + sum(heights)
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    parts = figure.subplots(len(drawn), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (measure, of_measure) in zip(parts, drawn.items(), strict=True):
        _draw_measure(axes, titles[measure], of_measure)
    figure.suptitle("\n".join(heading(lines)), fontsize=11)
    figure.supxlabel(_CAPTION, fontsize=9)
    return figure


def _png(figure: matplotlib.figure.Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def _drawn(lines: Lines) -> dict[str, list[Mapping[str, str]]]:
    """By measure the lines with a number of their own: ratios stand in the table.

    So does the matrix product, which is no model, where there are others.
    """
    models = [line for line in lines if line["contender"] != MATRIX_PRODUCT and line["median"]]
    by_measure: dict[str, list[Mapping[str, str]]] = {}
    for line in models or lines:
        is_ratio = line.get("against") and not line["measure"].endswith("_share")
        if line.get("median") and not is_ratio:
            by_measure.setdefault(line["measure"], []).append(line)
    if not by_measure:
        raise ValueError("There is no number to be drawn.")
    return by_measure


def _draw_measure(axes: matplotlib.axes.Axes, title: str, lines: Lines) -> None:
    """Bars to the median, with whiskers from quartile to quartile."""
    medians = [float(line["median"]) for line in lines]
    below = [median - float(line["q1"]) for median, line in zip(medians, lines, strict=True)]
    above = [float(line["q3"]) - median for median, line in zip(medians, lines, strict=True)]
    names = [line["contender"] for line in lines]
    places = range(len(lines))
    bars = axes.barh(places, medians, xerr=[below, above], color="#8ab", ecolor="#334", capsize=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=10)
    axes.bar_label(bars, labels=[_three_digits(median) for median in medians], padding=4)
    axes.margins(x=0.18)


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def heading(lines: Lines) -> tuple[str, str]:
    """What a file is about, and on what and when it was measured: a line each."""
    first = lines[0]
    sizes = {"batch_size": "batch {}", "image_size": "{} pixels", "precision": "{}"}
    about = [first[name] for name in ("model", "dataset", "preprocessing") if first.get(name)]
    about += [form.format(first[name]) for name, form in sizes.items() if first.get(name)]
    return (
        ": ".join(filter(None, (first["benchmark"], ", ".join(about)))),
        f"{results_file.machine_of(first)}, {first['date'][:10]}",
    )


def page_of(lines: Lines, png: bytes, titles: Mapping[str, str]) -> str:
    """An HTML page with the picture inside, a table of all numbers, and what they depend on.

    Args:
        lines: of a file of results.
        png: the picture.
        titles: by measure what it is called, with its unit.
    """
    title, measured_on = heading(lines)
    constant = {name: value for name, value in lines[0].items() if value and _is_same(lines, name)}
    facts = {name: value for name, value in constant.items() if name not in _SHOWN}
    columns = [name for name in lines[0] if name not in facts and any(x[name] for x in lines)]
    image = base64.b64encode(png).decode()
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{_text(title)}',
            f"</title>\n<style>{_STYLE}</style>\n<h1>{_text(title)}</h1>",
            f"<p>{_text(measured_on)}</p>",
            f'<p><img alt="medians with quartiles" src="data:image/png;base64,{image}"></p>',
            f"<p>{_text(_CAPTION)}</p>",
            "<table>",
            *(f"<tr><th>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in facts.items()),
            "</table>\n<h2>All numbers</h2>\n<table>",
            f"<tr>{''.join(f'<th>{_text(name)}</th>' for name in columns)}</tr>",
            *(
                f"<tr>{''.join(f'<td>{_text(_short(line[name]))}</td>' for name in columns)}</tr>"
                for line in ({**line, "measure": titles.get(line["measure"], "")} for line in lines)
            ),
            "</table>\n</html>\n",
        ]
    )


def _is_same(lines: Lines, name: str) -> bool:
    return len({line[name] for line in lines}) == 1


def _short(value: str) -> str:
    """A number in four digits; any other text as it is."""
    try:
        return f"{float(value):.4g}" if "." in value else value
    except ValueError:
        return value


def _text(value: str) -> str:
    return html.escape(value)
