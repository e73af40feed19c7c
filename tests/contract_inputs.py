"""The part of the contract that is about what goes in: gaps, sparse matrices, labels, bad input."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from contract import BITS, Data, Labels, assert_refused, assert_same, check, fitted, share_of_differences, values
from modalhash.hasher import Hasher


@check
def items_lack_views_at_encode(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    names = list(views)
    if system.encodes_from:
        return  # see views_that_encode_does_not_read
    forms: list[Any] = [np.array, sp.csr_matrix, sp.csr_array]
    for form in forms:
        full = {name: np.array(matrix, dtype=np.float64) for name, matrix in views.items()}
        gaps = {name: np.zeros(len(labels), dtype=bool) for name in names}
        for i, name in enumerate(names):
            gaps[name][i :: len(names) + 1] = True
            full[name][gaps[name]] = 0.0 if form is not np.array else np.nan
        given: Data = {name: form(matrix) for name, matrix in full.items()}
        if form is not np.array:
            for name in names:
                given[name] = given[name].tolil()
                given[name][gaps[name], 0] = np.nan
                given[name] = form(given[name].tocsr())
        many = values(hasher.encode(given))
        for row in (0, 1, len(names), len(labels) - 1):
            own = {name: full[name][row : row + 1] for name in names if not gaps[name][row]}
            np.testing.assert_array_equal(values(hasher.encode(own))[0], many[row], err_msg=f"row {row}")


@check
def a_view_is_missing_for_all_rows_at_encode(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    first, *others = sorted(views, key=lambda name: name not in system.encodes_from)
    gone = {name: np.full(views[name].shape, np.nan) for name in others}
    assert_same(hasher.encode({first: views[first], **gone}), hasher.encode({first: views[first]}))


@check
def views_are_absent_at_encode(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    for name in system.encodes_from or views:
        assert values(hasher.encode({name: views[name]})).shape == (len(labels), BITS)
    assert_same(hasher.encode(dict(reversed(views.items()))), hasher.encode(views))


@check
def views_that_encode_does_not_read(system: type[Hasher], views: Data, labels: Labels) -> None:
    if not system.encodes_from:
        return
    hasher = fitted(system, views, labels)
    assert_refused(lambda: fitted(system, {**views, "other": views["image"]}, labels), f"{system.__name__}.*other")
    for name in views:
        rest = {other: matrix for other, matrix in views.items() if other != name}
        gaps = {**rest, name: np.where(np.arange(len(labels))[:, None] % 3 == 1, np.nan, views[name])}
        if name in system.encodes_from:
            assert_refused(partial(hasher.encode, rest), f"{system.__name__}.*{name}.*absent")
            assert_refused(partial(hasher.encode, gaps), f"{system.__name__}.*{name}.*row 1")
        else:
            for given in (rest, gaps):
                assert_same(hasher.encode(given), hasher.encode(views))


@check
def sparse_input_is_dense_input(system: type[Hasher], views: Data, labels: Labels) -> None:
    thin = {name: np.where(matrix > 0.3, matrix, 0) for name, matrix in views.items()}
    hasher = fitted(system, thin, labels)
    for form in (sp.csr_matrix, sp.csc_array, sp.coo_array):
        given = {name: form(matrix) for name, matrix in thin.items()}
        assert_same(hasher.encode(given), hasher.encode(thin))
        again = fitted(system, given, sp.csr_matrix(labels))
        assert share_of_differences(again.encode(given), hasher.encode(thin)) <= 0.02


@check
def labels_do_no_harm(system: type[Hasher], views: Data, labels: Labels) -> None:
    if system.needs_labels:
        assert_refused(lambda: fitted(system, views, None), f"{system.__name__}.*labels")
        gaps = labels.copy()
        gaps[4] = np.nan
        if not system.takes_unlabelled:
            assert_refused(lambda: fitted(system, views, gaps), f"{system.__name__}.*row 4 is not labelled")
        else:
            for given in (gaps, sp.csr_array(np.where(np.arange(labels.shape[1]) > 0, np.nan_to_num(gaps), gaps))):
                assert len(fitted(system, views, given).encode(views)) == len(labels)
    else:
        assert_same(fitted(system, views, labels).encode(views), fitted(system, views, None).encode(views))
    assert_refused(lambda: fitted(system, views, labels[1:]), "labels")


@check
def labels_come_in_every_form(system: type[Hasher], views: Data, labels: Labels) -> None:
    whole = np.eye(labels.shape[1])[labels.argmax(axis=1)]
    forms: list[Any] = [whole.astype(bool), whole.astype(int), sp.csr_matrix(whole), whole.argmax(axis=1)]
    expected = fitted(system, views, whole)
    for form in forms:
        assert share_of_differences(fitted(system, views, form).encode(views), expected.encode(views)) <= 0.02
    rest = labels.copy()
    rest[5] = 0
    fitted(system, views, rest)


@check
def inputs_stay_as_they_were(system: type[Hasher], views: Data, labels: Labels) -> None:
    targets = labels.copy()
    for form in (np.array, np.asfortranarray, sp.csr_matrix, sp.coo_array):
        given = {name: form(matrix) for name, matrix in views.items()}
        before = {name: _content(matrix) for name, matrix in given.items()}
        for matrix in (*given.values(), targets):
            if isinstance(matrix, np.ndarray):
                matrix.flags.writeable = False
        hasher = fitted(system, given, targets)
        hasher.encode(given)
        hasher.encode_queries(given)
        assert {name: _content(matrix) for name, matrix in given.items()} == before
    assert targets.tobytes() == labels.tobytes()


def _content(matrix: Any) -> tuple[bytes, ...]:
    if isinstance(matrix, np.ndarray):
        return (matrix.tobytes(),)
    parts = (matrix.data, matrix.indices, matrix.indptr) if matrix.format == "csr" else (matrix.data, *matrix.coords)
    return tuple(array.tobytes() for array in parts)


@check
def bad_views_are_refused(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    name = next(iter(system.encodes_from or views))
    nan = np.full((1, views[name].shape[1]), np.nan)
    infinite = np.where(np.arange(views[name].size).reshape(views[name].shape) == 0, np.inf, views[name])
    assert_refused(lambda: hasher.encode({"unknown": views[name]}), "unknown")
    assert_refused(lambda: hasher.encode({name: views[name][:, 1:]}), rf"{name}.*columns")
    assert_refused(lambda: hasher.encode({}), "at least one view")
    assert_refused(lambda: hasher.encode({name: nan}), "row 0 has no view")
    assert_refused(lambda: hasher.encode({name: views[name][:0]}), name)
    assert_refused(lambda: hasher.encode(views[name]), "mapping", TypeError)
    assert_refused(lambda: fitted(system, {**views, name: infinite}, labels), f"{name}.*row 0")
    assert_refused(lambda: fitted(system, {**views, name: views[name][1:]}, labels), "same number of rows")
    assert_refused(lambda: fitted(system, {**views, name: np.full_like(views[name], np.nan)}, labels), name)


@check
def gaps_in_training_work_or_are_refused(system: type[Hasher], views: Data, labels: Labels) -> None:
    given = {name: np.array(matrix) for name, matrix in views.items()}
    name = next(iter(given))
    given[name][3] = np.nan
    if system.fits_missing_views:
        hasher = fitted(system, given, labels)
        assert len(hasher.encode(given)) == len(vars(hasher)["codes_"]) == len(labels)
    else:
        assert_refused(lambda: fitted(system, given, labels), f"{system.__name__}.*row 3.*{name}")
    for matrix in given.values():
        matrix[3] = np.nan
    assert_refused(lambda: fitted(system, given, labels), "row 3")


@check
def whole_numbers_and_booleans_are_views(system: type[Hasher], views: Data, labels: Labels) -> None:
    for kind in (np.int64, np.uint8, bool, np.float16):
        given = {name: (matrix > 0).astype(kind) for name, matrix in views.items()}
        hasher = fitted(system, given, labels)
        assert_same(hasher.encode(given), hasher.encode({k: v.astype(np.float32) for k, v in given.items()}))
