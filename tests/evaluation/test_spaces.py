"""Float spaces: which direction has one, and what it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from modalhash.datasets import Dataset, planted
from modalhash.datasets.embeddings import centred
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.spaces import Space, space_of

ACROSS = Protocol(query_views=("image",), database_views=("text",))
DATA = planted("clusters", 200, 0)


def found(space: Space | str) -> Space:
    assert isinstance(space, Space), space
    return space


def test_a_view_is_its_own_space() -> None:
    space = found(space_of(DATA, Protocol(query_views=("image",), database_views=("image",))))
    rows = space.rows("image", DATA.views["image"])
    assert (space.kind, space.width) == ("view", DATA.views["image"].shape[1])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    image = np.asarray(DATA.views["image"])
    np.testing.assert_allclose(rows * np.linalg.norm(image, axis=1)[:, None], image, atol=1e-5)


def test_views_that_share_a_space_are_taken_as_they_are() -> None:
    views = {"image": np.eye(6), "text": 2 * np.eye(6)}
    data = Dataset(name="shared", views=views, split={"query": np.array([0])})
    space = found(space_of(data, ACROSS, ("image", "text")))
    assert space.kind == "given"
    np.testing.assert_allclose(space.rows("image", views["image"]) @ space.rows("text", views["text"]).T, np.eye(6))
    with pytest.raises(ValueError, match=r"equal widths, got image \d+, text \d+"):
        space_of(Dataset(name="x", views={"image": np.eye(6), "text": np.eye(6)[:, :4]}), ACROSS, ("image", "text"))
    with pytest.raises(ValueError, match="no view 'audio'"):
        space_of(data, ACROSS, ("audio",))


def test_canonical_correlations_bring_the_views_of_an_item_together() -> None:
    space = found(space_of(DATA, ACROSS))
    query = DATA.split["query"]
    image, text = (space.rows(name, DATA.views[name][query]) for name in ("image", "text"))
    similar = image @ text.T
    labels = np.asarray(DATA.labels)[query]
    same = (labels @ labels.T if labels.ndim > 1 else labels[:, None] == labels[None]) > 0
    assert space.kind == "cca" and similar[same].mean() > similar[~same].mean() + 0.5


def test_missing_rows_are_zero_and_do_not_train() -> None:
    views = {name: np.array(matrix) for name, matrix in DATA.views.items()}
    views["text"][::3] = np.nan
    data = Dataset(name="gaps", views=views, labels=DATA.labels, split=DATA.split)
    space = found(space_of(data, ACROSS))
    rows = space.rows("text", views["text"])
    assert (rows[::3] == 0).all() and np.isfinite(rows).all() and rows[1].any()


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        (Protocol(), "several views at once"),
        (Protocol(query_views=("wide",), database_views=("wide",)), "sparse with 5000 columns"),
    ],
)
def test_where_there_is_no_space_the_reason_is_told(protocol: Protocol, told: str) -> None:
    wide = csr_matrix((np.ones(9), (np.arange(9), np.arange(9))), shape=(9, 5000))
    data = Dataset(name="wide", views={"wide": wide, "image": np.eye(9)})
    space = space_of(data, protocol)
    assert isinstance(space, str) and told in space


def test_the_gap_between_views_is_centred_away() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((60, 8))
    views = {"image": shared + 5, "text": shared - 5 + 0.1 * rng.standard_normal((60, 8))}
    views["text"][3] = np.nan
    split = {"query": np.arange(10), "train": np.arange(10, 60), "database": np.arange(10, 60)}
    data = Dataset(name="gap", views=views, split=split)
    before = np.array(views["image"])
    moved = centred(data)
    for name in views:
        mean = np.nanmean(np.asarray(moved.views[name])[split["train"]], axis=0)
        np.testing.assert_allclose(mean, 0, atol=1e-6)
    assert np.isnan(np.asarray(moved.views["text"])[3]).all()
    np.testing.assert_array_equal(views["image"], before)

    def own_rank(given: Dataset) -> float:
        space = found(space_of(given, ACROSS, ("image", "text")))
        image, text = (space.rows(name, given.views[name]) for name in ("image", "text"))
        similar = image[10:] @ text[10:].T
        return float((similar > np.diag(similar)[:, None]).sum(axis=1).mean())

    assert own_rank(moved) < 1 < own_rank(data)
    with pytest.raises(ValueError, match="'image' is sparse"):
        centred(Dataset(name="s", views={"image": csr_matrix(np.eye(4))}))
