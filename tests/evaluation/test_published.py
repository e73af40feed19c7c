"""The published figures are those of the texts."""

from __future__ import annotations

import pytest

from modalhash.evaluation.published import published


def values(data: str, method: str, direction: str) -> list[float]:
    return [figure.value for figure in published(data, method) if figure.direction == direction]


@pytest.mark.parametrize(
    ("data", "method", "direction", "expected"),
    [
        ("Wiki", "ACQH", "I→T", [0.3126, 0.3230, 0.3239, 0.3181, 0.3228]),
        ("Wiki", "ACQH", "T→I", [0.6898, 0.7089, 0.7098, 0.7007, 0.7080]),
        ("MIRFlickr25K", "ACQH", "T→I", [0.9113, 0.9114, 0.9118, 0.9115, 0.9119]),
        ("NUS-WIDE", "ADCH", "I→T", [0.5686, 0.5461, 0.5596, 0.3154, 0.4937]),
        ("MIRFlickr25K", "A2LH", "I→T", [0.7531, 0.7638, 0.7717, 0.7845]),
        ("MIRFlickr25K", "TECH", "T→I", [0.8000, 0.8241, 0.8361, 0.8449]),
        ("NUS-WIDE (VGG-19 features)", "A2LH-D", "T→I", [0.6831, 0.7110, 0.7413]),
        ("NUS-WIDE", "A2LH-B", "T→I", [0.7328, 0.7526, 0.7680, 0.7803]),
    ],
)
def test_figures_are_those_that_are_printed(data: str, method: str, direction: str, expected: list[float]) -> None:
    assert values(data, method, direction) == expected


def test_every_figure_has_a_source_and_a_protocol() -> None:
    figures = published()
    assert len(figures) == 3 * 2 * 7 * 5 + 2 * 2 * 9 * 4 + 2 * 4 * 3 + 2 * 4 * 4
    keys = {(f.source, f.table, f.data, f.method, f.direction, f.bits) for f in figures}
    assert len(keys) == len(figures) and all(0 < f.value < 1 and f.protocol and f.source for f in figures)
    assert {f.database_codes for f in published(method="ACQH")} == {"learned"}
    assert {f.database_codes for f in published(method="A2LH")} == {"unstated"}
    repeated = {(f.method, f.bits, f.direction): set[float]() for f in published("NUS-WIDE", "A2LH")}
    for f in published("NUS-WIDE", "A2LH"):
        repeated[f.method, f.bits, f.direction].add(f.value)
    assert all(len(both) == 1 for both in repeated.values())  # Tables 3 and 5 print the same figures
