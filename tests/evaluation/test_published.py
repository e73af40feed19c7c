"""The published figures are those of the texts."""

from __future__ import annotations

from collections import defaultdict

import pytest

from modalhash.catalog import module_of
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
        ("MS COCO", "HMAH-4", "T→I", [0.728, 0.803, 0.847, 0.873, 0.880]),
        ("NUS-WIDE", "SCRATCH", "T→I", [0.754, 0.771, 0.775, 0.778, 0.786]),
        ("NUS-WIDE", "AGCH", "T→I", [0.769, 0.780, 0.798, 0.802]),
        ("MS COCO", "CIRH-ISR", "T→I", [0.695]),
        ("NUS-WIDE", "CIRH-Sigmoid", "I→T", [0.806, 0.832, 0.848, 0.856]),
        ("IAPR-TC12", "DCSH", "T→T", [0.4609, 0.4656, 0.4727]),
        ("NUS-WIDE", "DCSH-L", "I→I", [0.6361, 0.6412, 0.6452]),
        ("NUS-WIDE (AlexNet features)", "DCSH-DNN", "T→I", [0.6641, 0.6899, 0.7254]),
        ("NUS-WIDE", "SAH", "I→I", [0.4398, 0.4489, 0.4664, 0.4840]),
        ("MIRFlickr25K", "DSTDH-R", "I→I", [0.6790, 0.6851, 0.7058, 0.7319]),
        ("NUS-WIDE (BOVW features)", "DSTDH-L", "I→I", [0.4126, 0.4272, 0.4464, 0.4604]),
        ("NUS-WIDE", "LAGNH-only-Sv", "I→I", [0.5774, 0.5677, 0.5899, 0.6193]),
        ("MS COCO", "LAGNH-recons-feat", "I→I", [0.7690, 0.7955, 0.8232, 0.8399]),
        ("NUS-WIDE", "SMHOQA-IV", "fused", [0.5732, 0.6142, 0.6373, 0.6453]),
        ("MS COCO", "CCQ", "fused", [0.3924, 0.3922, 0.3981, 0.4011]),
        ("MS COCO", "BSTH-SH", "fused", [0.5617, 0.5610, 0.5487, 0.5417]),
        ("MIRFlickr25K (all of the database in training)", "BSTH", "fused", [0.8791, 0.8998, 0.9141, 0.9205]),
    ],
)
def test_figures_are_those_that_are_printed(data: str, method: str, direction: str, expected: list[float]) -> None:
    assert values(data, method, direction) == expected


def test_every_figure_has_a_source_and_a_protocol() -> None:
    figures = published()
    keys = {(f.source, f.table, f.data, f.method, f.direction, f.bits) for f in figures}
    assert len(keys) == len(figures) and all(0 < f.value < 1 and f.protocol and f.source for f in figures)
    assert {f.direction for f in figures} == {"I→T", "T→I", "I→I", "T→T", "fused"}
    assert {f.database_codes for f in published(method="ACQH")} == {"learned"}
    assert {f.database_codes for f in published(method="A2LH")} == {"unstated"}
    assert {f.database_codes for f in published(method="LAGNH")} == {"encoded"}


@pytest.mark.parametrize(
    ("start", "count"),
    [
        ("L. Wang", 3 * 2 * 7 * 5),
        ("Y. Long", 2 * 2 * 9 * 4 + 2 * 4 * 3 + 2 * 4 * 4),
        ("T. Hoang", 2 * 3 * 2 * 4 * 3 + 2 * 2 * 2 * 3 + 2 * 2 * 3 * 3 + 2 * 2 * 2 * 3 + 2 * 2 * 3),
        (
            "L. Zhu",
            (2 * (4 + 1) * 4 + 2 * 3 * 4 + 6 * 4)  # DSTDH
            + (2 * 3 * 4 + 2 * 9 * 4)  # LAGNH
            + (3 * 2 * 3 * 5 + 3 * 2 * 7 * 5)  # HMAH
            + (3 * 2 * 3 * 4 + 3 * 2 * 7 + 2 * 2 * 2 * 4)  # CIRH
            + (3 * 2 * 3 * 4 + 3 * 3 * 4 + 3 * 3 * 4)  # SMH-OQA, UMH-OQA
            + (3 * 3 * 4 + 3 * 4 + 3 * 8 * 4),  # BSTH
        ),
    ],
)
def test_no_figure_is_lost(start: str, count: int) -> None:
    assert sum(f.source.startswith(start) for f in published()) == count


def test_what_several_tables_print_is_the_same() -> None:
    """Tables 3 and 5 of A2LH, and every ablation of the book, repeat the row of the whole system."""
    seen: dict[tuple[str, ...], set[float]] = defaultdict(set)
    tables: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for f in published():
        key = (f.method, f.data, f.protocol, f.direction, str(f.bits))
        seen[key].add(f.value)
        tables[key].add(f.table)
    assert all(len(values) == 1 for values in seen.values())
    repeated = {key[0] for key, where in tables.items() if len(where) > 1}
    ours = {"A2LH", "DSTDH", "LAGNH", "HMAH", "CIRH", "SMHOQA", "UMHOQA", "BSTH", "DCSH-DNN"}
    assert repeated == ours


def test_methods_carry_the_names_of_the_variants_here() -> None:
    """What looks like a variant of a system is one, save the forms on other inputs."""
    other_inputs = {"DCSH-DNN"}
    for name in ("A2LH", "BSTH", "CIRH", "DCSH", "DSTDH", "HMAH", "LAGNH", "RDCMH", "SMHOQA", "UMHOQA"):
        found = {f.method for f in published() if f.method.startswith(name)}
        assert name in found and found - other_inputs <= set(module_of(name).VARIANTS)
