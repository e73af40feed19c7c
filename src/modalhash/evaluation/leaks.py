"""Leak check: queries that train or are found as themselves, equal rows, labels that stand in a view."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Dataset
from modalhash.views import Matrix, blocks, check_labels, is_sparse, missing

COLUMNS = 256  # of a dense view that are looked at together


@dataclass(frozen=True)
class Finding:
    """One finding: `kind`, how many rows or columns, the message, and whether it harms a figure or is only told."""

    kind: str
    count: int
    message: str
    severity: Literal["leak", "note"] = "leak"


def leaks(data: Dataset) -> list[Finding]:
    """What could make figures on this data set too good, cheapest first; an empty list if nothing was found.

    queries_in_database, queries_in_train, train_in_database (a note: allowed, but told), equal_rows (a query equal to a
    training or database item in a view, byte for byte; rows of zeros and missing rows do not count), label_columns
    (a view column that is set exactly where a label is).  Takes time linear in the values.
    """
    return [*split_leaks(data), *row_leaks(data), *label_leaks(data)]


def split_leaks(data: Dataset) -> list[Finding]:
    """Positions that two parts of the split share."""
    query, train, database = (data.split[part] for part in ("query", "train", "database"))
    findings = []
    if shared := len(np.intersect1d(query, database)):
        findings.append(Finding("queries_in_database", shared, f"{shared} of {len(query)} queries are in the database"))
    if shared := len(np.intersect1d(query, train)):
        findings.append(Finding("queries_in_train", shared, f"{shared} of {len(query)} queries are training items"))
    if shared := len(np.intersect1d(train, database)):
        message = f"{shared} of {len(train)} training items are in the database (allowed)"
        findings.append(Finding("train_in_database", shared, message, "note"))
    return findings


def row_leaks(data: Dataset) -> list[Finding]:
    """Queries whose row in a view equals the row of another item that trains or is found."""
    findings = []
    query = data.split["query"]
    for name, matrix in data.views.items():
        marks = row_marks(matrix)
        for part in ("train", "database"):
            others = np.setdiff1d(data.split[part], query)
            known = {marks[i] for i in others.tolist()} - {b""}
            equal = sum(marks[i] in known for i in query.tolist())
            if equal:
                message = f"view {name}: {equal} of {len(query)} queries have a row equal to one of the {part} part"
                findings.append(Finding("equal_rows", equal, message))
    return findings


def row_marks(matrix: Matrix) -> list[bytes]:
    """A digest of each row, equal where rows hold equal bytes; empty for rows that are missing or all zero."""
    skip = missing(matrix)
    marks = []
    if is_sparse(matrix):
        csr = matrix.tocsr()
        for i, (low, high) in enumerate(zip(csr.indptr[:-1].tolist(), csr.indptr[1:].tolist(), strict=True)):
            values = csr.data[low:high]
            content = b"" if skip[i] or not values.any() else csr.indices[low:high].tobytes() + values.tobytes()
            marks.append(_digest(content))
        return marks
    array = np.ascontiguousarray(matrix)
    skip |= ~np.any(array, axis=1)
    return [_digest(b"" if skipped else row.tobytes()) for skipped, row in zip(skip.tolist(), array, strict=True)]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest() if content else b""


def label_leaks(data: Dataset) -> list[Finding]:
    """Labels that can be read off a single column of a view: set for exactly the same items."""
    if data.labels is None:
        return []
    labels, labelled = check_labels(data.labels, len(data))
    c = labels.shape[1]
    names = list(data.label_names) if data.label_names and len(data.label_names) == c else range(c)
    findings = []
    for view, matrix in data.views.items():
        rows = labelled & ~missing(matrix)
        wanted = {mark: label for label, marks in enumerate(column_marks(labels, rows)) for mark in marks}
        read = sorted({wanted[mark] for marks in column_marks(matrix, rows) for mark in marks & wanted.keys()})
        if read:
            listed = ", ".join(str(names[i]) for i in read[:5]) + (" …" if len(read) > 5 else "")
            message = f"view {view}: {len(read)} of {c} labels are columns of the view ({listed})"
            findings.append(Finding("label_columns", len(read), message))
    return findings


def column_marks(matrix: Matrix, rows: NDArray[np.bool_]) -> list[set[bytes]]:
    """For each column digests of where it is not 0 and where it is above its smallest value; none if it is constant."""
    marks: list[set[bytes]] = []
    csc = matrix.tocsc() if is_sparse(matrix) else None
    for columns in blocks(matrix.shape[1] if rows.any() else 0, COLUMNS):
        values = (matrix[:, columns] if csc is None else csc[:, columns].toarray())[rows]
        patterns = np.stack([values != 0, values > values.min(axis=0)]).T  # (columns, rows, 2)
        bits = np.packbits(patterns, axis=1)
        varies = np.asarray(patterns.any(axis=1) & ~patterns.all(axis=1))
        for kept, several in zip(varies, bits, strict=True):
            marks.append({_digest(several[:, i].tobytes()) for i in np.flatnonzero(kept)})
    return marks
