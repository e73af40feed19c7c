"""Queries lose views: what is drawn, what is measured, and who is compared on which queries."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.evaluation.missing_views import Asked, beside_single_views, missing_views, spread
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.views import missing, remove_rows

DATA = mh.datasets.planted("three_views", 120, 0)
HASHER = mh.A2LH(n_bits=16, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix, sp.csr_array, sp.coo_array])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_rows_are_removed_in_every_form(form: type, kind: type) -> None:
    dense: NDArray[Any] = (np.random.default_rng(0).random((9, 4)) > 0.5).astype(kind)
    gone = np.arange(9) % 3 == 1
    removed = remove_rows(form(dense), gone)
    assert (missing(removed) == gone).all() and (type(removed) is np.ndarray) == (form is np.array)
    left = removed.toarray() if form is not np.array else removed
    np.testing.assert_array_equal(left[~gone], dense[~gone])
    assert left.dtype == (np.float32 if kind is np.int64 else kind)
    mh.ITQ(n_bits=2).fit({"a": dense}).encode({"a": removed[~gone]})


def test_the_curve_starts_at_the_protocol_and_falls() -> None:
    curve = missing_views(HASHER, DATA, draws=3)
    assert [(point.lost, point.draws) for point in curve] == [(0, 1), (1, 3), (2, 3)]
    assert curve[0].mean == pytest.approx(evaluate(HASHER, DATA, Protocol()).mean["AP"]) and curve[0].sd == 0
    assert curve[0].mean > curve[2].mean
    assert missing_views(HASHER, DATA, draws=3) == curve


def test_every_query_loses_as_many_views_as_told_but_not_the_last() -> None:
    asked = Asked(HASHER, DATA, Protocol())
    first, second = asked.draws(2, 2)
    assert (first.sum(axis=1) == 2).all() and (first != second).any()
    asked.views["image"] = remove_rows(asked.views["image"], np.arange(asked.n) < 5)
    gone = next(iter(asked.draws(2, 1)))
    assert (gone[:5].sum(axis=1) == 1).all() and not gone[:5, 0].any() and (gone[5:].sum(axis=1) == 2).all()


def test_single_views_are_compared_on_the_queries_that_have_them() -> None:
    text = {name: DATA.part(name)["text"] for name in ("train", "query", "database")}
    single = mh.A2LH(n_bits=16, random_state=0).fit({"text": text["train"]}, DATA.part_labels("train"))
    found = beside_single_views(HASHER, {"text": single}, DATA, lost=2, draws=2)["text"]
    asked, expected = Asked(HASHER, DATA, Protocol()), []
    own = Protocol(query_views=("text",), database_views=("text",))
    alone = evaluate(single, DATA, own).per_query["AP"]
    for gone in asked.draws(2, 2):
        kept = {name: np.where(gone[:, [i]], np.nan, DATA.part("query")[name]) for i, name in enumerate(DATA.views)}
        expected.append([asked.scores(kept)[~gone[:, 1]].mean(), alone[~gone[:, 1]].mean()])
    assert list(DATA.views)[1] == "text"
    np.testing.assert_allclose([found["fused"], found["single"]], np.mean(expected, axis=0))
    np.testing.assert_allclose([found["fused_sd"], found["single_sd"]], np.std(expected, axis=0, ddof=1))


def test_what_cannot_be_lost_is_refused() -> None:
    one = mh.LSH(n_bits=4).fit({"text": DATA.part("train")["text"]})
    with pytest.raises(ValueError, match="two views"):
        missing_views(one, DATA)
    with pytest.raises(ValueError, match="draws"):
        missing_views(HASHER, DATA, draws=0)
    with pytest.raises(ValueError, match="A2LH: has no view 'audio'; its views: 'image', 'text', 'tags'"):
        beside_single_views(HASHER, {"audio": one}, DATA, lost=1)
    gaps = dataclasses.replace(DATA, views={**DATA.views, "text": np.array(DATA.views["text"])})
    gaps.views["text"][DATA.split["query"][0]] = np.nan
    with pytest.raises(ValueError, match="some queries lack the view 'text'"):
        beside_single_views(HASHER, {"text": one}, gaps, lost=1)
    assert spread([0.5]) == 0
