import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.crossmodal import acqh
from modalhash.crossmodal.acqh import ACQH, VARIANTS, Problem, column_means
from modalhash.hasher import ConvergenceWarning, present_rows
from modalhash.quantized import QuantizedCodes
from modalhash.quantizers import nearest_words
from modalhash.solvers import row_product

F64 = NDArray[np.float64]


def small(n: int = 30, gaps: bool = True, seed: int = 0) -> tuple[dict[str, F64], F64]:
    """Two correlated views with gaps and overlapping labels, one row without any label."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < 0.4).astype(float)
    labels[3] = 0.0
    views = {
        name: labels @ rng.standard_normal((4, d)) + 0.5 * rng.standard_normal((n, d)) + 1.0
        for name, d in (("image", 6), ("text", 5))
    }
    if gaps:
        views["image"][[2, 9]] = np.nan
        views["text"][[5]] = np.nan
    return views, labels


def start(**params: Any) -> tuple[Problem, "Dense"]:
    """A problem in the middle of a fit, and its slow twin."""
    views, labels = small()
    options = {"n_bits": 3, "n_codebooks": 2, "n_words": 4, "random_state": 0, "lam": 0.3, "mu": 0.2, "ridge": 0.1}
    system = ACQH(**(options | params))
    present = present_rows(views)
    system.means_ = {m: column_means(x, present[m]) for m, x in views.items()}
    problem = Problem(system, views, labels, present)
    for step in (problem.update_query_maps, problem.update_label_map, problem.update_drift, problem.update_codebooks):
        step()
    return problem, Dense(problem, views, labels)


class Dense:
    """The slow twin: Eq. 6 and its updates on whole matrices, S (n, n) and one-hot A, one row an item.

    The ridge on XXᵀ is √ridge·I as further rows of X whose S is 0, which makes every printed formula hold.
    """

    def __init__(self, problem: Problem, views: dict[str, F64], labels: F64) -> None:
        self.problem, self.system, self.L = problem, problem.system, labels
        self.X, self.S = {}, {}
        for m, x in views.items():
            has = ~np.isnan(x[:, 0])
            X = np.where(has[:, None], x - x[has].mean(axis=0), 0.0)
            a = self.system.ridge * np.sum(X**2) / X.shape[1]
            X = np.hstack([X, has[:, None]])
            self.X[m] = np.vstack([X, np.sqrt(a) * np.eye(X.shape[1])])
            self.S[m] = np.vstack([has[:, None] * (labels @ labels.T), np.zeros((X.shape[1], len(labels)))])

    @property
    def A(self) -> F64:
        words = self.problem.C.shape[1]
        return np.hstack([np.eye(words)[column] for column in self.problem.A[self.problem.group].T])

    @property
    def C(self) -> F64:
        return self.problem.C.reshape(-1, self.problem.K)

    @property
    def t(self) -> F64:
        return np.asarray(self.problem.t[self.problem.group])

    def D(self) -> F64:
        return np.asarray(self.A @ self.C)

    def P(self) -> F64:
        return np.asarray(self.L @ self.problem.M + self.t[:, None])

    def objective(self, W: dict[str, F64], M: F64, t: F64, D: F64) -> float:
        s, b = self.system, self.problem.tiny
        total = s.lam * np.sum((D - self.L @ M - t[:, None]) ** 2) + s.mu * np.sum(M**2)
        for m, X in self.X.items():
            total += np.sum((X @ W[m] @ D.T - self.S[m]) ** 2) + b * np.sum((X @ W[m]) ** 2)
        return float(total)

    def now(self, **change: Any) -> float:
        given: dict[str, Any] = {"W": self.problem.W, "M": self.problem.M, "t": self.t, "D": self.D()}
        return self.objective(**(given | change))

    def metric(self) -> F64:
        G = sum((self.X[m] @ W).T @ (self.X[m] @ W) for m, W in self.problem.W.items())
        return np.asarray(G + self.system.lam * np.eye(self.problem.K))

    def target(self) -> F64:
        T = [self.S[m].T @ self.X[m] @ W for m, W in self.problem.W.items()]
        return np.asarray(np.sum(T, axis=0) + self.system.lam * self.P())

    def words(self, lam: float) -> NDArray[np.int64]:
        """Eq. 15-18 as printed, with `lam` as the factor of the last term of h."""
        C, W = self.problem.C, self.problem.W
        R = {m: S.copy() for m, S in self.S.items()}
        r, chosen = self.P(), []
        for words in C:
            Cm = {m: self.X[m] @ W[m] @ words.T for m in W}
            lengths = sum(np.sum(c**2, axis=0) for c in Cm.values()) + self.system.lam * np.sum(words**2, axis=1)
            h = sum(R[m].T @ Cm[m] for m in W) + lam * r @ words.T
            best = np.argmin(lengths - 2.0 * h, axis=1)
            R = {m: R[m] - Cm[m][:, best] for m in W}
            r = r - words[best]
            chosen.append(best)
        return np.column_stack(chosen)


# the form on sums and distinct label rows equals the dense one
def test_the_objective_equals_the_dense_one() -> None:
    problem, twin = start()
    assert len(problem.Y) < 20
    assert problem.objective() == pytest.approx(twin.now(), rel=1e-10)


def test_the_query_maps_equal_the_dense_ones() -> None:
    problem, twin = start()
    problem.update_query_maps()
    D = twin.D()
    DD = D.T @ D + problem.tiny * np.eye(problem.K)
    for m, X in twin.X.items():
        expected = np.linalg.solve(X.T @ X, X.T @ twin.S[m] @ D) @ np.linalg.inv(DD)
        np.testing.assert_allclose(problem.W[m], expected, rtol=1e-6, atol=1e-9)


def test_label_map_and_drift_equal_the_dense_ones() -> None:
    problem, twin = start()
    problem.t = np.linspace(-1, 1, len(problem.t))
    problem.update_label_map()
    left = twin.L.T @ twin.L + problem.system.mu / problem.system.lam * np.eye(4)
    np.testing.assert_allclose(problem.M, np.linalg.solve(left, twin.L.T @ (twin.D() - twin.t[:, None])), rtol=1e-8)
    problem.update_drift()
    np.testing.assert_allclose(twin.t, (twin.D() - twin.L @ problem.M).mean(axis=1), rtol=1e-8)


def test_the_codebooks_equal_the_dense_ones() -> None:
    problem, twin = start()
    A, G, T = twin.A, twin.metric(), twin.target()
    np.testing.assert_allclose(problem.metric(), G, rtol=1e-9)
    np.testing.assert_allclose(problem.target()[problem.group], T, rtol=1e-9)
    problem.update_codebooks()
    left = A.T @ A + problem.tiny * np.eye(A.shape[1])
    np.testing.assert_allclose(twin.C, np.linalg.solve(left, A.T @ T) @ np.linalg.inv(G), rtol=1e-5, atol=1e-7)


def test_the_greedy_words_equal_those_of_the_printed_residuals_with_lambda() -> None:
    problem, twin = start(sweeps=0)
    expected, without = twin.words(problem.system.lam), twin.words(1.0)
    problem.update_words()
    assert np.array_equal(problem.A[problem.group], expected)
    assert not np.array_equal(expected, without)


# each step is optimal
STEPS: dict[str, Callable[[Problem], None]] = {
    "W": Problem.update_query_maps,
    "M": Problem.update_label_map,
    "t": Problem.update_drift,
    "D": Problem.update_codebooks,
}


@pytest.mark.parametrize("variable", STEPS)
def test_the_gradient_is_zero_after_each_closed_form_step(variable: str) -> None:
    problem, twin = start()
    rng = np.random.default_rng(0)
    STEPS[variable](problem)
    for _ in range(5):
        for part in twin.X if variable == "W" else ["all"]:
            ends = [twin.now(**{variable: moved(problem, twin, variable, part, s, rng)}) for s in steps(rng)]
            slope, bend = ends[0] - ends[1], ends[0] + ends[1] - 2.0 * twin.now()
            assert bend > 0 and abs(slope) < 1e-4 * bend


def steps(rng: np.random.Generator) -> list[tuple[float, int]]:
    seed = int(rng.integers(1000))
    return [(0.01, seed), (-0.01, seed)]


def moved(
    problem: Problem, twin: Dense, variable: str, part: str, step: tuple[float, int], _: np.random.Generator
) -> Any:
    """The variable, moved a little along a random direction (D moves with the codebooks, along their words)."""
    size, rng = step[0], np.random.default_rng(step[1])
    if variable == "W":
        W = problem.W[part]
        return problem.W | {part: W + size * rng.standard_normal(W.shape)}
    if variable == "D":
        return twin.A @ (twin.C + size * rng.standard_normal(twin.C.shape))
    value = {"M": problem.M, "t": twin.t}[variable]
    return value + size * rng.standard_normal(value.shape)


def test_the_last_word_is_the_best_of_all_given_the_others() -> None:
    problem, twin = start(sweeps=2)
    problem.update_words()
    best, chosen = twin.now(), problem.A.copy()
    D = twin.D()
    for i in range(len(D)):
        row = chosen[problem.group[i]]
        for word in problem.C[1]:
            other = D.copy()
            other[i] = problem.C[0, row[0]] + word
            assert twin.now(D=other) >= best - 1e-9


def test_sweeps_never_raise_the_objective_and_one_codebook_is_solved_exactly() -> None:
    problem, twin = start()
    G, T = problem.metric(), problem.target()
    values = []
    for sweeps in range(4):
        problem.A = nearest_words(problem.C, G, T, sweeps)
        values.append(twin.now())
    assert (np.diff(values) <= 1e-9).all()
    one, _ = start(n_codebooks=1, n_words=8)
    one.update_words()
    C, G, T = one.C[0], one.metric(), one.target()
    costs = [[d @ G @ d - 2.0 * d @ goal for d in C] for goal in T]
    assert np.array_equal(one.A[:, 0], np.argmin(costs, axis=1))


# the whole fit
def hard(n: int = 400) -> tuple[dict[str, F64], F64]:
    """Many label sets for few words, so that quantisation costs something."""
    rng = np.random.default_rng(1)
    labels = (rng.random((n, 10)) < np.linspace(0.1, 0.5, 10)).astype(float)
    mixed = {v: labels @ rng.standard_normal((10, d)) for v, d in (("image", 20), ("text", 15))}
    return {v: x + 0.3 * rng.standard_normal(x.shape) for v, x in mixed.items()}, labels


def test_the_objective_falls_and_the_best_iterate_is_returned() -> None:
    views, labels = hard()
    options: dict[str, Any] = {"n_bits": 8, "n_codebooks": 4, "n_words": 8, "sweeps": 0, "random_state": 0}
    hasher = ACQH(**options).fit(views, labels)
    values = np.asarray(hasher.objective_)
    best = int(np.argmin(values))
    assert values[best] < 0.5 * values[0]
    assert values[best] < 0.99 * values[-1], "the greedy step is expected to end above its best here"
    with pytest.warns(ConvergenceWarning, match="ACQH: the objective still fell"):
        stopped = ACQH(**options, tolerance=0.0, max_iter=best).fit(views, labels)
    assert np.array_equal(stopped.codes_.indices, hasher.codes_.indices)
    assert np.array_equal(stopped.codes_.codebooks, hasher.codes_.codebooks)


def test_a_sweep_finds_better_words_than_the_greedy_choice() -> None:
    views, labels = hard()
    lowest = [
        min(ACQH(n_bits=8, n_codebooks=2, n_words=8, random_state=0, sweeps=s).fit(views, labels).objective_)
        for s in (0, 1)
    ]
    assert lowest[1] < lowest[0]


def average_precision(hasher: Any, data: mh.datasets.Dataset, codes: Any) -> list[float]:
    index = mh.Index.build(codes)
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    queries = data.part("query").items()
    return [mh.metrics.retrieval(index, hasher.encode_queries({v: x}), relevant, ()).mean["AP"] for v, x in queries]


@pytest.mark.parametrize("kind", ["nuisance", "multilabel", "three_views"])
def test_planted_problems_are_solved_far_above_what_knows_no_labels(kind: str) -> None:
    data = mh.datasets.planted(kind, 300, 0)
    train, database = data.part("train"), data.part("database")
    hasher = ACQH(n_bits=16, random_state=0).fit(train, data.part_labels("train"))
    baseline = mh.CCAITQ(n_bits=16, random_state=0).fit(train)
    reference = max(average_precision(baseline, data, baseline.encode(database)))
    for codes in (hasher.encode(database), hasher.encode({"image": database["image"]})):
        assert min(average_precision(hasher, data, codes)) > max(0.85, reference + 0.3)


def fitted(**params: Any) -> tuple[ACQH, dict[str, F64], F64]:
    views, labels = small(80)
    return ACQH(**({"n_bits": 6, "n_words": 16, "random_state": 0} | params)).fit(views, labels), views, labels


def test_encode_predicts_well_enough_to_find_the_learned_codes() -> None:
    data = mh.datasets.planted("nuisance", 300, 0)
    hasher = ACQH(n_bits=8, random_state=0).fit(data.part("train"), data.part_labels("train"))
    near = mh.Index.build(hasher.codes_).search(hasher.encode_queries(data.part("train")), 1).ids[:, 0]
    classes = data.part_labels("train").argmax(axis=1)
    assert (classes[near] == classes).mean() > 0.95


def test_items_with_equal_labels_have_equal_codes() -> None:
    hasher, _, labels = fitted()
    _, group = np.unique(labels, axis=0, return_inverse=True)
    for g in np.unique(group):
        assert len(np.unique(hasher.codes_.indices[group.ravel() == g], axis=0)) == 1


def test_one_item_is_encoded_as_among_many() -> None:
    hasher, views, _ = fitted()
    given = {"image": views["image"][10:], "text": views["text"][10:]}
    codes, queries = hasher.encode(given), hasher.encode_queries(given)
    assert queries.dtype == np.float32 and queries.shape == (70, 6)
    for i in range(70):
        one = {name: x[i : i + 1] for name, x in given.items()}
        assert np.array_equal(hasher.encode(one).indices, codes.indices[i : i + 1])
        assert hasher.encode_queries(one).tobytes() == queries[i].tobytes()


@pytest.mark.parametrize(("d", "width"), [(1, 1), (3, 2), (64, 8), (200, 33)])
def test_a_query_row_is_rounded_alike_in_any_batch(d: int, width: int) -> None:
    rng = np.random.default_rng(0)
    matrix, mean, weights = rng.standard_normal((37, d)), rng.standard_normal(d), rng.standard_normal((d, width))
    many = row_product(matrix, mean, weights)
    np.testing.assert_allclose(many, (matrix - mean) @ weights)
    for i in range(37):
        assert row_product(matrix[i : i + 1], mean, weights).tobytes() == many[i].tobytes()


def test_memory_stays_far_below_a_matrix_of_all_pairs() -> None:
    views, labels = hard(4000)
    tracemalloc.start()
    ACQH(n_bits=8, n_words=16, random_state=0).fit(views, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000  # one byte a pair


def test_a_missing_view_is_the_same_as_an_absent_one() -> None:
    hasher, views, _ = fitted()
    assert np.array_equal(hasher.encode(views).indices[5], hasher.encode({"image": views["image"][5:6]}).indices[0])
    alone = hasher.encode_queries({"image": views["image"][5:6]})
    assert hasher.encode_queries(views)[5].tobytes() == alone[0].tobytes()


def test_queries_are_the_mean_over_the_views_present() -> None:
    hasher, views, _ = fitted()
    rows = {name: x[20:40] for name, x in views.items()}
    parts = np.stack([hasher.encode_queries({name: x}) for name, x in rows.items()])
    np.testing.assert_allclose(hasher.encode_queries(rows), parts.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_predictions_are_added_with_the_weights_that_fit_best() -> None:
    overlap, agreement = np.array([[2.0, 2.0], [2.0, 2.0]]), np.array([2.0, 2.0])
    present = np.array([[True, True], [True, False], [False, True]])
    same = acqh.combination_weights(overlap, agreement, present)
    np.testing.assert_allclose(same, [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])  # two copies of one prediction: their mean
    apart = acqh.combination_weights(np.diag([1.0, 1.0]), np.array([1.0, 1.0]), present)
    np.testing.assert_allclose(apart, [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])  # two independent predictions: their sum


def test_the_same_seed_gives_the_same_codes_and_leaves_the_random_state_alone() -> None:
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    first, views, labels = fitted()
    kept = {name: x.copy() for name, x in views.items()}
    second = ACQH(n_bits=6, n_words=16, random_state=0).fit(views, labels)
    assert np.array_equal(first.codes_.indices, second.codes_.indices)
    assert first.codes_.codebooks.tobytes() == second.codes_.codebooks.tobytes()
    assert all(np.array_equal(views[name], kept[name], equal_nan=True) for name in views)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # noqa: NPY002
    other = ACQH(n_bits=6, n_words=16, random_state=1).fit(views, labels)
    assert not np.array_equal(first.codes_.codebooks, other.codes_.codebooks)


def test_a_model_comes_back_from_its_folder(tmp_path: Path) -> None:
    hasher, views, _ = fitted()
    hasher.save(tmp_path / "model")
    back = ACQH.load(tmp_path / "model")
    assert back.get_params() == hasher.get_params() and isinstance(back.codes_, QuantizedCodes)
    assert np.array_equal(back.codes_.indices, hasher.codes_.indices)
    assert np.array_equal(back.encode(views).indices, hasher.encode(views).indices)
    assert back.encode_queries(views).tobytes() == hasher.encode_queries(views).tobytes()


def test_sparse_views_and_labels_give_what_dense_ones_give() -> None:
    views, labels = small(60, gaps=False)
    views = {name: np.where(np.abs(x) > 1.0, x, 0.0) for name, x in views.items()}
    sparse = {name: sp.csr_matrix(x) for name, x in views.items()}
    options: dict[str, Any] = {"n_bits": 4, "n_words": 8, "random_state": 0}
    plain = ACQH(**options).fit(views, labels)
    thin = ACQH(**options).fit(sparse, sp.csr_matrix(labels))
    assert np.array_equal(plain.codes_.indices, thin.codes_.indices)
    np.testing.assert_allclose(plain.encode_queries(views), thin.encode_queries(sparse), rtol=1e-4, atol=1e-6)
    assert np.array_equal(plain.encode(views).indices, thin.encode(sparse).indices)


def test_a_shift_of_a_view_changes_nothing() -> None:
    views, labels = small(60)
    options: dict[str, Any] = {"n_bits": 4, "n_words": 8, "random_state": 0}
    plain = ACQH(**options).fit(views, labels)
    shifted = {name: x + 7.0 for name, x in views.items()}
    moved = ACQH(**options).fit(shifted, labels)
    np.testing.assert_allclose(moved.encode_queries(shifted), plain.encode_queries(views), rtol=1e-3, atol=1e-5)


def test_the_width_may_exceed_the_views_and_the_words_the_items() -> None:
    views, labels = small(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hasher = ACQH(n_bits=64, random_state=0).fit(views, labels)
    assert hasher.codes_.codebooks.shape == (4, 20, 64) and np.isfinite(hasher.objective_).all()
    assert hasher.codes_.bytes_per_item == 4
    assert hasher.encode_queries(views).shape == (20, 64)


def test_integer_classes_and_one_view_are_enough() -> None:
    data = mh.datasets.planted("clusters", 100, 0)
    classes = np.asarray(data.labels).argmax(axis=1)
    hasher = ACQH(n_bits=4, random_state=0).fit({"image": data.views["image"]}, classes)
    found = mh.Index.build(hasher.codes_).search(hasher.encode_queries({"image": data.views["image"]}), 5).ids
    assert (classes[found] == classes[:, None]).mean() > 0.98


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_words": 257}, "n_words: expected an integer of from 2 to 256, got 257"),
        ({"n_codebooks": 0}, "n_codebooks: expected an integer of at least 1"),
        ({"lam": 0.0}, "lam: expected a number > 0"),
        ({"mu": -1.0}, "mu: expected a number > 0"),
        ({"ridge": 0.0}, "ridge: expected a number > 0"),
        ({"sweeps": -1}, "sweeps: expected an integer of at least 0"),
        ({"max_iter": 0}, "max_iter: expected an integer of at least 1"),
        ({"tolerance": -1.0}, "tolerance: expected a number >= 0"),
    ],
)
def test_hyper_parameters_that_cannot_work_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**params)


def test_labels_and_views_are_needed() -> None:
    hasher, views, _ = fitted()
    with pytest.raises(ValueError, match="ACQH: needs labels"):
        ACQH().fit(views)
    with pytest.raises(ValueError, match="view 'audio' is unknown"):
        hasher.encode_queries({"audio": views["text"]})
    with pytest.raises(ValueError, match="row 2 has no view at all"):
        hasher.encode({"image": views["image"]})
    with pytest.raises(ValueError, match="ACQH: is not fitted"):
        ACQH().encode(views)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_fits(name: str) -> None:
    hasher, views, _ = fitted(**VARIANTS[name])
    assert len(hasher.encode(views)) == 80
