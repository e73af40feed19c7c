"""Drawings of the docs, made from result files as the tables are: one SVG each, legible on light and dark ground."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from speed_tables import read

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 70, 70, 30, 50
QUALITY, SPEED = "#1c7c54", "#c05621"


def two_stages(results: Path) -> str:
    """HR@10 and times faster than ranking everything, as more is recalled by codes and ranked again by factors."""
    cells = [read(path) for path in sorted((results / "recommend").glob("bits32-kept0-*.json"))]
    recalled = [row["recalled"] for row in cells[0]["two_stages"]]
    rates = [float(np.mean([cell["two_stages"][i]["HR@10"] for cell in cells])) for i in range(len(recalled))]
    facts = read(results / "recommend" / "speed.json")
    speed, items = facts["microseconds"], facts["items"]
    faster = {int(name): speed["all"] / value for name, value in speed.items() if name != "all"}
    sizes = sorted(faster)
    shown = [rate for size, rate in zip(recalled, rates, strict=True) if size in faster]
    parts = [
        _line(sizes, [rate / rates[-1] for rate in shown], QUALITY),
        _line(sizes, [np.log10(value) / 2.5 for value in faster.values()], SPEED),
        _dots(sizes, [rate / rates[-1] for rate in shown], [f"{rate / rates[-1]:.0%}" for rate in shown], QUALITY, -10),
        _dots(
            sizes,
            [float(np.log10(value)) / 2.5 for value in faster.values()],
            [f"{v:.0f}×" for v in faster.values()],
            SPEED,
            18,
        ),
        *(_text(_x(size, sizes), HEIGHT - BOTTOM + 20, f"{size:,}", "currentColor") for size in sizes),
        _text(WIDTH / 2, HEIGHT - 10, "items recalled by codes", "currentColor"),
        _text(WIDTH / 2 - 130, 16, "HR@10, of that of all factors", QUALITY),
        _text(WIDTH / 2 + 150, 16, f"times faster, {items:,} items", SPEED),
    ]
    style = "<style>svg{color:#444}@media(prefers-color-scheme:dark){svg{color:#bbb}}</style>"
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13"'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>', style, *parts, "</svg>"]) + "\n"


def _x(size: int, sizes: list[int]) -> float:
    low, high = np.log(sizes[0]), np.log(sizes[-1])
    return LEFT + (WIDTH - LEFT - RIGHT) * float((np.log(size) - low) / (high - low))


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share * 0.9


def _line(sizes: list[int], shares: list[float], colour: str) -> str:
    points = " ".join(f"{_x(size, sizes):.1f},{_y(share):.1f}" for size, share in zip(sizes, shares, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'


def _dots(sizes: list[int], shares: list[float], texts: list[str], colour: str, below: int) -> str:
    places = [(_x(size, sizes), _y(share)) for size, share in zip(sizes, shares, strict=True)]
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
    return "\n".join([*dots, *(_text(x, y + below, text, colour) for (x, y), text in zip(places, texts, strict=True))])


def _text(x: float, y: float, text: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}">{text}</text>'


DRAWINGS: dict[str, Callable[[Path], str]] = {"images/two-stages.svg": two_stages}
