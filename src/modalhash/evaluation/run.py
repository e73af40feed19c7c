"""Run the cells of a table: one result file a cell, none twice, none after the budget."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.results import TABLE_FILE, data_facts, measured, versions, write_result
from modalhash.evaluation.tables import Cell, Source, Table
from modalhash.folders import FORMAT
from modalhash.hasher import Hasher
from modalhash.nested import Nested
from modalhash.views import missing

Loader = Callable[..., Dataset]
KEPT = 3  # fits: nested codes of one seed are cut to one length after the other


@dataclass(eq=False)
class Fitted:
    """A fit that several cells share (`hasher`), or None and the reason why the system refuses this data or length."""

    hasher: Any
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    warned: tuple[str, ...] = ()
    refused: str = ""


@dataclass(eq=False)
class Runner:
    """Runs cells into a folder; keeps the last data set and the last fits, because neighbours share them."""

    folder: Path
    load: Loader = load_dataset

    def __post_init__(self) -> None:
        self._data: tuple[str, Dataset, dict[str, Any]] | None = None
        self._fits: dict[tuple[Any, ...], Fitted] = {}

    def path(self, cell: Cell) -> Path:
        """The result file of a cell."""
        return self.folder / f"{cell.name}.json"

    def run_cell(self, cell: Cell) -> bool:
        """Measure a cell and write its file, with the reason if the system refuses; False if it is there already."""
        if self.path(cell).exists():
            return False
        data, facts = self.data(cell.source)
        fitted = self.fitted(cell, data)
        content = {"format": FORMAT, "system": cell.system, "seed": cell.seed, "versions": versions()}
        content |= {"protocol": cell.protocol.as_dict() | {"hash": cell.protocol.hash}, "data": facts}
        if fitted.hasher is None:
            content["refused"] = fitted.refused
        else:
            content = self.measured(cell, data, facts, fitted)
        about = {"system": cell.system, "source": cell.source.title, "options": dict(cell.source.options)}
        content["cell"] = about | {"n_bits": cell.n_bits, "seed": cell.seed, "protocol": cell.protocol.hash}
        write_result(self.path(cell), content)
        return True

    def data(self, source: Source) -> tuple[Dataset, dict[str, Any]]:
        """The data set of a source and its facts."""
        if self._data is None or self._data[0] != source.title:
            data = self.load(source.name, **source.options)
            self._data = source.title, data, data_facts(data)
        return self._data[1:]

    def fitted(self, cell: Cell, data: Dataset) -> Fitted:
        """The fit of a cell."""
        if cell.fit_key not in self._fits:
            self._fits = dict([*self._fits.items()][1 - KEPT :])
            self._fits[cell.fit_key] = fit(cell, data)
        return self._fits[cell.fit_key]

    def measured(self, cell: Cell, data: Dataset, facts: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
        """The record of a cell whose system is fitted."""
        hasher: Hasher = fitted.hasher
        if cell.n_bits != cell.fitted_bits:
            assert isinstance(hasher, Nested)
            hasher = hasher.prefix(cell.n_bits)
        seconds = {"fit": fitted.seconds, "fit_cpu": fitted.cpu_seconds}
        return measured(hasher, data, cell.protocol, seconds, cell.seed, facts) | {"warnings": list(fitted.warned)}


def fit(cell: Cell, data: Dataset) -> Fitted:
    """Fit the system of a cell; a ValueError (more bits than columns, no labels …) becomes the reason of a refusal."""
    system, _, view = cell.system.partition("{")[0].partition(":")
    own = cell.parameters | ({"nested": True} if "@" in system else {})
    hasher = make(system.partition("@")[0], n_bits=cell.fitted_bits, random_state=cell.seed, **own)
    views, labels = data.part("train"), data.part_labels("train") if hasher.needs_labels else None
    if view:
        views = {view: views[view]}
    has = [~missing(matrix) for matrix in views.values()]  # a system that needs all views learns from items with all
    usable = np.any(has, axis=0) if hasher.fits_missing_views else np.all(has, axis=0)
    if not usable.all():
        views = {name: matrix[usable] for name, matrix in views.items()}
        labels = None if labels is None else labels[usable]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started, worked = time.perf_counter(), time.process_time()
        try:
            hasher.fit(views, labels)
        except ValueError as error:
            return Fitted(None, refused=str(error))
        seconds, worked = time.perf_counter() - started, time.process_time() - worked
    return Fitted(hasher, seconds, worked, tuple(dict.fromkeys(str(warning.message) for warning in caught)))


def run_table(
    table: Table,
    folder: Path,
    *,
    budget_seconds: float | None = None,
    part: tuple[int, int] = (0, 1),
    load: Loader = load_dataset,
    runner: Runner | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the cells of a table that have no file yet, and write beside them what the table is (`table.json`).

    Cells run row by row, in a row length by length, for a length seed by seed; a cell that has begun is finished.  Once
    `budget_seconds` have passed, the cells that are left are cut: rows, then lengths, then seeds.  What was cut, and
    data that is not here, is said and recorded.  part: (i, of) runs every of-th fit only, from the i-th, so that
    several processes can share a folder.  runner: another way to run a cell.  Returns the content of `table.json`.
    """
    runner = Runner(folder, load) if runner is None else runner
    started = time.perf_counter()
    cut: list[str] = []
    absent: dict[str, str] = {}
    fits = list(dict.fromkeys(cell.fit_key for cell in table.cells()))
    own = set(fits[part[0] :: part[1]])
    for cell in (cell for cell in table.cells() if cell.fit_key in own):
        if cell.source.title in absent or runner.path(cell).exists():
            continue
        if budget_seconds is not None and time.perf_counter() - started >= budget_seconds:
            cut.append(cell.name)
            continue
        try:
            runner.run_cell(cell)
        except FileNotFoundError as error:
            absent[cell.source.title] = f"{cell.source.name}: is not here"
            say(f"{cell.source.title}: {error}")
            continue
        say(f"{time.perf_counter() - started:6.1f} s  {cell.source.title}, {told(cell)}")
    if cut:
        say(f"cut after {budget_seconds:g} s: {len(cut)} cells ({table.cut_order})")
    content = {"format": FORMAT, **table.as_dict(), "absent": absent, "cut": {"order": table.cut_order, "cells": cut}}
    folder.mkdir(parents=True, exist_ok=True)
    write_result(folder / TABLE_FILE, content)
    return content


def told(cell: Cell) -> str:
    """A cell in words."""
    codes = cell.protocol.database_codes
    return f"{cell.system}, {cell.n_bits} bits, seed {cell.seed}, {cell.protocol.direction} ({codes})"
