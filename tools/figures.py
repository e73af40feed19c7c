"""Measured figures in the prose of the docs: each is marked with where it comes from, or allowed with a reason.

A marked figure is a number with a comment behind it that names a result file and the place in it:

    grows with the power 0.98<!-- = growth.json growth/A2LH/fit --> of n

Steps of the path are keys; `name=value` picks the one element of a list, ` * 1000` scales.  The number is written anew
with the decimals that it has.  Figures between `<!-- table: … -->` markers come from result files already.  All other
numbers with a decimal point or a unit of time, memory or share must be of a kind that no run measures (numbers of
equations and sections, versions, values of a symbol), or stand in allowed_figures.py with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from allowed_figures import ALLOWED
from speed_tables import read

FIGURE = re.compile(r"([+−-]?(?:\d[\d,]*)?\.?\d+)(<!-- = (\S+\.json) (.+?)(?: \* ([\d.]+))? -->)")
HIDDEN = re.compile(
    r"<!-- table: .*?<!-- end of table -->|^```.*?^```|`[^`\n]*`|\]\([^)\n]*\)|<!--.*?-->", flags=re.S | re.M
)
LIST = r"\d[\d.]*(?:(?:\s*[-–,]\s*|\s+and\s+)\d[\d.]*)*"
EQUATION = r"[2-5]\.\d{1,2}"  # of a chapter of the text
NO_FIGURE = re.compile(
    rf"(?:Eqs?\.|[Ss]ections?|Tables?|Figs?\.|Algorithm|Alg\.)\s{LIST}"  # what a text numbers
    rf"|\({EQUATION}(?:[-–,\s]+{EQUATION})*\)(?:-\({EQUATION}\))?"
    r"|\d+\.\d+\.\d+"  # versions
    r"|(?:Python|Ray|Apache|Milvus|faiss|milvus-lite)[ -]v?\d[\d.]*"
    r"|(?<!\S)(?!\S*(?:AP|nDCG|HR|P@|R@|neighbours|recall))[^\s=]+ = [−-]?[\d.,]+(?:·10[⁻⁰¹²³⁴-⁹]+)?"  # symbols
)
MEASURED = re.compile(
    r"(?<![\w.,])[+−-]?\d*\.\d+(?![\w.]*\d)|(?<![\w.,])\d[\d,]*\s?(?:µs|ms|s|GB|MB|×(?=[\s.,;)]|$)|%|seconds|minutes)(?!\w)",
    flags=re.M,
)


def renewed(text: str, results: Path) -> str:
    """The page with its marked figures as the result files have them; ValueError names a place that is not there."""
    return FIGURE.sub(lambda found: figure_text(found, results), text)


def figure_text(found: re.Match[str], results: Path) -> str:
    """A marked figure with the value of its place, in the form that it has."""
    shown, mark, file, path, scale = found.groups()
    value = value_at(read(results / file), path, f"{file} {path}") * float(scale or 1)
    digits = len(shown.partition(".")[2])
    text = f"{abs(value):,.{digits}f}"
    text = text.removeprefix("0") if shown.lstrip("+−-").startswith(".") else text
    sign = "−" if value < 0 else "+" if shown.startswith("+") else ""
    return f"{sign}{text}{mark}"


def value_at(content: Any, path: str, place: str) -> float:
    """The number at a path; ValueError where there is none."""
    for step in path.split("/"):
        name, equals, wanted = step.partition("=")
        if isinstance(content, list) and equals:
            found = [one for one in content if str(one.get(name)) == wanted]
            if len(found) != 1:
                raise ValueError(f"{place}: {len(found)} elements with {step}")
            content = found[0]
        elif isinstance(content, dict) and step in content:
            content = content[step]
        else:
            raise ValueError(f"{place}: has no {step!r}")
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ValueError(f"{place}: is no number")
    return float(content)


def unmarked(name: str, text: str) -> Iterator[str]:
    """Measured figures of a page without a mark, each with its line."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    prose = HIDDEN.sub(blank, FIGURE.sub(blank, text))
    for fragment in ALLOWED.get(name, {}):
        prose = prose.replace(fragment, re.sub(r"[^\n]", " ", fragment))
    prose = NO_FIGURE.sub(blank, prose)
    for found in MEASURED.finditer(prose):
        line = prose.count("\n", 0, found.start()) + 1
        yield f"{name}:{line}: {found[0].strip()!r} has no mark of where it comes from"
