"""Figures that the texts print, as data, to be shown beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modalhash.folders import read_json

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, kw_only=True)
class Published:
    """One mAP of a text, as a fraction.

    method: by its name here where it is a system or variant of ours (`SMHOQA-III` for the text's SMH-OQA-III), else as
    printed.  direction: `I→T` (pictures query texts), `T→I`, `I→I`, `T→T`, or `fused` (all views query all views);
    protocol: in words; database_codes: `learned`, `encoded`, or `unstated` where the text does not say whose codes are
    searched; source and table: where it is printed.
    """

    method: str
    data: str
    bits: int
    direction: str
    value: float
    protocol: str
    database_codes: str
    source: str
    table: str


def published(data: str | None = None, method: str | None = None) -> list[Published]:
    """All published figures, or those on one data set or of one method, in the order of the texts."""
    return [figure for figure in _read() if data in (None, figure.data) and method in (None, figure.method)]


def _read() -> Iterator[Published]:
    for table in read_json(FILE)["tables"]:
        shared = {name: table[name] for name in ("data", "protocol", "database_codes", "source", "table")}
        for direction, methods in table["rows"].items():
            for method, values in methods.items():
                for bits, value in zip(table["bits"], values, strict=True):
                    yield Published(method=method, bits=bits, direction=direction, value=value, **shared)
