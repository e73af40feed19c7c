"""The benchmark of recommenders on simulated films: who is cold stays cold, and every contender is measured."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
N, M = 150, 620


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def simulated(load: Any) -> Any:
    """Users of one of two tastes, films of one of two genres; half of what anybody rates is against the taste."""
    films, rng = load("films"), np.random.default_rng(0)
    taste, genre = rng.integers(0, 2, N), rng.integers(0, 2, M)
    stars = np.where(taste[:, None] == genre, 5.0, 2.0) * (rng.random((N, M)) < 0.1)
    columns = {"gender": taste, "age": rng.integers(0, 3, N), "occupation": rng.integers(0, 4, N)}

    class Simulated(films.Films):  # type: ignore[misc,name-defined]
        def item_views(self, train: Any) -> dict[str, Any]:
            noise = np.random.default_rng(1).standard_normal((M, 2))
            return {"genres": np.eye(2)[genre].astype(np.float32), "plot": genre[:, None] + 0.1 * noise}

    return Simulated(sp.csr_array(stars), columns, np.arange(M))


@pytest.mark.skipif(not find_spec("implicit"), reason="pip install implicit")
@pytest.mark.parametrize("kept", [0, 1])
def test_a_cell_measures_every_contender(load: Any, kept: int) -> None:
    recommend = load("recommend")
    content = recommend.run_cell(simulated(load), 0, 8, kept, with_variants=kept == 1)
    tasks = {"cold items", "cold users"} if kept else {"one left out"}
    assert set(content["tasks"]) == tasks and ("two_stages" in content) == (kept == 0)
    for task in content["tasks"].values():
        names = set(task["rows"])
        assert ("item-kNN" in names) == (kept == 1)
        assert {"popularity", "ridge → ALS", "ALS, ITQ", "MDCF", "MDCF without views"} <= names
        assert set(task["against"]) == {n for n in names if task["rows"][n]["kind"] in ("codes", "real")}
        assert all(0 <= row["whole"]["HR@10"] <= 1 for row in task["rows"].values())
        for low, high in ([v[1], v[2]] for pair in task["against"].values() for v in pair.values()):
            assert low <= high
    if kept:
        rows = content["tasks"]["cold items"]["rows"]
        chance = rows["popularity"]["sampled"]["nDCG@10"]
        assert rows["MDCF"]["sampled"]["nDCG@10"] > 1.15 * chance and len(rows) >= 17


def test_what_is_withheld_reaches_no_view(load: Any) -> None:
    data, films = simulated(load), load("films")
    split = films.cold_split(data, 1, 0)
    views = data.item_views(np.arange(M))
    before = data.user_views(split.train, views, 1, 0)
    data.ratings = split.train
    after = data.user_views(split.train, views, 1, 0)
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)
    assert np.diff(films.some(split.train, 2, 0).indptr).max() == 2
    kept = films.some(split.train, 2, 0).tocoo()
    assert all(split.train[u, i] == v for u, i, v in zip(kept.row, kept.col, kept.data, strict=True))


def test_half_of_the_views_go_and_one_stays(load: Any) -> None:
    contenders = load("recommenders")
    views = {name: np.ones((30, 2)) for name in "abcd"}
    views["d"][:10] = np.nan
    views["c"][:10] = np.nan
    views["b"][:5] = np.nan
    left = contenders.halved(views, 0)
    has = np.sum([~np.isnan(matrix[:, 0]) for matrix in left.values()], axis=0)
    assert (has[10:] == 2).all() and (has[:10] == 1).all()
    assert not np.isnan(left["a"][:5]).any()


def test_actors_of_few_films_do_not_count(load: Any) -> None:
    names = ["Ann, Bob", "Ann", "Ann, Cid", "", "Bob", "Cid, Bob, Cid"]
    found = load("films").cast(names, np.array([0, 1, 2, 4, 3]))
    assert found.shape == (6, 1) and found[:3, 0].tolist() == [1, 1, 1] and np.isnan(found[3:]).all()


def test_what_matters_most_is_run_first(load: Any) -> None:
    recommend = load("recommend")
    cells = recommend.cells(False)
    assert len(set(cells)) == len(cells) == 27 and {cell[1] for cell in cells[:6]} == {32}
