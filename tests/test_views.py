"""What the door lets in, what it refuses, and how rows go missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.views import check_encode_views, check_labels, check_views, dense, is_sparse, missing, one_hot

X = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0], [4, 0, 5]])
SPARSE = [
    sp.csr_matrix,
    sp.csc_matrix,
    sp.coo_matrix,
    sp.lil_matrix,
    sp.dok_matrix,
    sp.csr_array,
    sp.csc_array,
    sp.coo_array,
]
nan, inf = np.nan, np.inf


def checked(matrix: Any) -> Any:
    return check_views({"image": matrix})["image"]


@pytest.mark.parametrize("kind", [np.float16, np.int8, np.int64, np.uint8, np.uint64, bool, ">f4"])
@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_other_numbers_become_float32(kind: Any, form: Any) -> None:
    if kind in (np.float16, ">f4") and form is not np.array:
        return  # scipy knows no such sparse matrix
    found = checked(form((X > 0).astype(kind) if kind is bool else X.astype(kind)))
    assert found.dtype == np.float32 and found.dtype.isnative
    np.testing.assert_array_equal(dense(found), X > 0 if kind is bool else X)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.array, np.asfortranarray, *SPARSE])
def test_floats_stay_as_they_are(kind: Any, form: Any) -> None:
    found = checked(form(X.astype(kind)))
    assert found.dtype == kind and is_sparse(found) == (form in SPARSE)
    np.testing.assert_array_equal(dense(found), X)
    assert not is_sparse(found) or (found.format == "csr" and found.has_canonical_format)


def test_lists_are_matrices() -> None:
    np.testing.assert_array_equal(checked(X.tolist()), X)


def test_duplicates_are_summed_and_the_input_keeps_them() -> None:
    coo = sp.coo_matrix(([1.0, 2.0, 5.0], ([0, 0, 1], [2, 2, 0])), shape=(2, 3))
    csr = sp.csr_matrix((np.array([1.0, 2.0, 5.0]), np.array([2, 2, 0]), np.array([0, 2, 3])), shape=(2, 3))
    for given in (coo, csr):
        before = given.data.copy()
        np.testing.assert_array_equal(dense(checked(given)), [[0, 0, 3], [5, 0, 0]])
        np.testing.assert_array_equal(given.data, before)
        assert given.nnz == 3


def test_unsorted_indices_are_sorted_in_a_copy() -> None:
    indices = np.array([2, 0])
    found = checked(sp.csr_matrix((np.array([1.0, 2.0]), indices, np.array([0, 2])), shape=(1, 3)))
    np.testing.assert_array_equal(found.indices, [0, 2])
    np.testing.assert_array_equal(indices, [2, 0])


@pytest.mark.parametrize("kind", [np.float32, np.int16, bool])
def test_read_only_input_is_taken_and_not_written_to(kind: Any) -> None:
    matrix = X.astype(kind)
    matrix.flags.writeable = False
    csr = sp.csr_array(X.astype(kind))
    for array in (csr.data, csr.indices, csr.indptr):
        array.flags.writeable = False
    check_views({"a": matrix, "b": csr})
    check_encode_views({"a": matrix, "b": csr}, {"a": 3, "b": 3})


@pytest.mark.parametrize(
    ("matrix", "kind", "message"),
    [
        (np.zeros((0, 3)), ValueError, r"'image'.*\(0, 3\)"),
        (np.zeros((3, 0)), ValueError, r"'image'.*\(3, 0\)"),
        (sp.csr_matrix((0, 3)), ValueError, r"'image'.*\(0, 3\)"),
        (sp.csr_matrix((3, 0)), ValueError, r"'image'.*\(3, 0\)"),
        (np.zeros(3), ValueError, r"'image'.*\(n, d\).*\(3,\)"),
        (np.zeros((2, 2, 2)), ValueError, r"'image'.*\(2, 2, 2\)"),
        (5, ValueError, r"'image'.*\(\)"),
        (X.astype(object), TypeError, "'image'.*object"),
        (X.astype(complex), TypeError, "'image'.*complex"),
        (np.array([["a"]]), TypeError, "'image'.*<U1"),
        ("text", TypeError, "'image'"),
        (None, TypeError, "'image'.*object"),
    ],
)
def test_what_is_no_matrix_is_refused_by_name_and_shape(matrix: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        checked(matrix)


@pytest.mark.parametrize("bad", [inf, -inf])
@pytest.mark.parametrize("form", [np.array, sp.csr_array, sp.coo_array, sp.csc_matrix])
@pytest.mark.parametrize("row", [0, 2500])
def test_infinities_are_refused_by_row(bad: float, form: Any, row: int) -> None:
    matrix = np.ones((3000, 3), dtype=np.float32)
    matrix[row, 1] = bad
    with pytest.raises(ValueError, match=f"'image': row {row} holds an infinity"):
        checked(form(matrix))
    matrix[row, 2] = -bad
    matrix[row, 0] = nan
    with pytest.raises(ValueError, match=f"'image': row {row} holds an infinity"):
        checked(form(matrix))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_large_values_whose_sum_overflows_are_no_infinities(kind: Any) -> None:
    matrix = np.full((3, 8), np.finfo(kind).max, dtype=kind)
    matrix[1] *= -1
    matrix[2, ::2] *= -1
    for given in (matrix, sp.csr_array(matrix)):
        np.testing.assert_array_equal(dense(checked(given)), matrix)


def test_rows_that_are_nan_in_part_are_refused_by_row() -> None:
    matrix = np.ones((2100, 3))
    matrix[2060] = nan, 1, 1
    with pytest.raises(ValueError, match=r"'image': row 2060 is NaN in part.*3 columns"):
        checked(matrix)
    matrix[2060] = 1, 1, nan
    with pytest.raises(ValueError, match="row 2060 is NaN in part"):
        checked(matrix)
    with pytest.raises(ValueError, match="'image': row 2060 stores NaN beside other values"):
        checked(sp.csr_array(matrix))
    with pytest.raises(ValueError, match="row 0 stores NaN beside"):
        checked(sp.csr_array(np.full((1, 2), nan)))


def test_views_are_a_named_mapping() -> None:
    for bad in (X, [X], None):
        with pytest.raises(TypeError, match="views: expected a mapping"):
            check_views(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one view"):
        check_views({})
    for name in ("", "a/b", ".hidden", 3, None):
        with pytest.raises(ValueError, match="is not a view name"):
            check_views({name: X})  # type: ignore[dict-item]
    assert list(check_views({"Bild é": X, "a": X})) == ["Bild é", "a"]


def test_unequal_row_counts_are_refused_with_the_counts() -> None:
    with pytest.raises(ValueError, match=r"same number of rows.*'image': 4.*'text': 3"):
        check_views({"image": X, "text": sp.csr_array(X[:3])})


def test_missing_rows_dense_and_sparse() -> None:
    matrix = np.array([[nan, nan], [1, nan], [nan, 1], [0, 0], [nan, nan]])
    np.testing.assert_array_equal(missing(matrix), [True, False, False, False, True])
    assert missing(np.array([[nan], [0]])).tolist() == [True, False]
    assert missing(np.array([[1], [0]])).tolist() == [False, False]
    assert missing(np.zeros((3, 0))).tolist() == [False] * 3
    for form in SPARSE:
        given = form(np.array([[0, nan, 0], [1, nan, 0], [0, 0, 0], [1, 0, 0], [nan, 0, 0]]))
        np.testing.assert_array_equal(missing(given), [True, False, False, False, True], err_msg=form.__name__)


def test_missing_rows_pass_the_door() -> None:
    matrix = np.array([[nan, nan], [1, 2]], dtype=np.float32)
    np.testing.assert_array_equal(checked(matrix), matrix)
    found = checked(sp.csr_array(np.array([[nan, 0], [1, 2]])))
    np.testing.assert_array_equal(missing(found), [True, False])
    assert not missing(checked(sp.csr_array((3, 2)))).any()  # a row without values is data


def test_views_to_encode_fit_what_was_seen_in_fit() -> None:
    widths = {"image": 3, "text": 2}
    text = sp.csr_array(np.array([[0, 1.0], [nan, 0], [0, 0], [1, 1]]))
    views, present = check_encode_views({"text": text, "image": X}, widths)
    assert list(views) == list(present) == ["image", "text"]
    np.testing.assert_array_equal(present["text"], [True, False, True, True])
    assert present["image"].all()
    with pytest.raises(ValueError, match="'tags' is unknown; fitted views: 'image', 'text'"):
        check_encode_views({"image": X, "tags": X}, widths)
    with pytest.raises(ValueError, match=r"'text': expected 2 columns.*\(4, 3\)"):
        check_encode_views({"text": X}, widths)
    with pytest.raises(ValueError, match=r"row 1 has no view at all \(1 such rows\).*'text'"):
        check_encode_views({"text": text}, widths)


LABELS = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64])
def test_label_matrices_become_float64(kind: Any) -> None:
    found, labelled = check_labels(LABELS.astype(kind), 4)
    assert found.dtype == np.float64 and labelled.all() and labelled.dtype == bool
    np.testing.assert_array_equal(found, LABELS)


@pytest.mark.parametrize("form", SPARSE)
@pytest.mark.parametrize("kind", [bool, np.int64, np.float64])
def test_sparse_label_matrices_stay_sparse(form: Any, kind: Any) -> None:
    given = form(LABELS.astype(kind))
    found, labelled = check_labels(given, 4)
    assert found.format == "csr" and found.dtype == np.float64 and labelled.all()
    np.testing.assert_array_equal(found.toarray(), LABELS)
    assert given.dtype == kind


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8])
def test_integer_classes_become_columns(kind: Any) -> None:
    found, labelled = check_labels(np.array([7, 3, 7, 9], dtype=kind), 4)
    np.testing.assert_array_equal(found, [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert labelled.all()
    np.testing.assert_array_equal(one_hot(np.array([-1, 5, -1])), [[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(check_labels([2, 2], 2)[0], [[1], [1]])


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix, sp.coo_array, sp.csc_array])
def test_nan_rows_are_not_labelled_and_zero_rows_are(form: Any) -> None:
    labels = np.array([[1, 0], [nan, nan if form is np.array else 0], [0, 0], [0, 1]])
    given = form(labels)
    found, labelled = check_labels(given, 4)
    np.testing.assert_array_equal(labelled, [True, False, True, True])
    np.testing.assert_array_equal(dense(found), [[1, 0], [0, 0], [0, 0], [0, 1]])
    assert np.isnan(dense(given)).any()  # the input keeps its NaN


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (LABELS[:3], ValueError, r"\(4, c\).*\(3, 2\)"),
        (np.array([1, 2, 3]), ValueError, r"\(4,\).*\(3,\)"),
        (LABELS[None], ValueError, r"\(1, 4, 2\)"),
        (np.zeros((4, 2)), ValueError, r"\(4, 2\).* no 1"),
        (sp.csr_array((4, 2)), ValueError, r"\(4, 2\).* no 1"),
        (np.zeros((4, 0)), ValueError, "no 1"),
        (np.full((4, 2), nan), ValueError, "no 1"),
        (LABELS * 2, ValueError, "found 2"),
        (-LABELS, ValueError, "found -1"),
        (LABELS * 0.5, ValueError, r"found 0\.5"),
        (sp.csr_array(LABELS * 2), ValueError, "found 2"),
        (np.where(LABELS > 0, nan, 0), ValueError, "found nan"),
        (sp.csr_array(np.where(np.arange(8).reshape(4, 2) == 1, nan, 1)), ValueError, "found nan"),
        (np.where(LABELS > 0, inf, 0), ValueError, "found inf"),
        (np.array([1.0, 2, 3, 4]), TypeError, r"classes of shape \(n,\).*float64"),
        (np.array([True, False, True, True]), TypeError, "bool"),
        (LABELS.astype(object), TypeError, "object"),
        (np.array(["a", "b", "c", "d"]), TypeError, "<U1"),
        (None, TypeError, "object"),
    ],
)
def test_other_labels_are_refused(labels: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        check_labels(labels, 4)


def test_labels_with_duplicate_entries_are_summed_first() -> None:
    twice = sp.csr_array((np.ones(3), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    with pytest.raises(ValueError, match="found 2"):
        check_labels(twice, 2)
    assert twice.nnz == 3
    halves = sp.csr_array((np.array([0.5, 0.5, 1]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_array_equal(check_labels(halves, 2)[0].toarray(), np.eye(2))
