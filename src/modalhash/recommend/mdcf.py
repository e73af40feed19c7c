"""MDCF: multi-modal discrete collaborative filtering (section 5.3), also for users and items without ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.hasher import present_rows
from modalhash.index.hits import Hits
from modalhash.model import check_integer, check_real
from modalhash.recommend.explanation import Explanation, Ground
from modalhash.recommend.functions import WEIGHTS, HashFunctions, Present, view_codes
from modalhash.recommend.mdcf_problem import Side, Weights, iterate, start_factors
from modalhash.recommend.nearest import nearest_factors
from modalhash.recommend.ratings import Positions, Products, find_ids, scale_ratings
from modalhash.recommend.recommender import Codes, Recommender
from modalhash.recommend.view_maps import joint_maps
from modalhash.solvers import procrustes
from modalhash.views import F64, Array, Floats, Matrix, Views

ANCHORS = 500  # by default, or half of the rows that have a view where these are fewer

VARIANTS: dict[str, dict[str, Any]] = {
    "MDCF": {},
    "MDCF-fixed": {"weights": "fixed"},
    "MDCF-equal": {"weights": "equal"},
    "MDCF-joint": {"weights": "joint"},  # one map from all views side by side at encode
    "MDCF-1": {},  # the same system, given the first view of each side only
    "MDCF-2": {},  # and the second
    "MDCF-miss": {},  # the same system, with half of the views taken away when it encodes
    "MDCF-cold": {"relaxed_start": False},  # without initialisation
    "MDCF-zero": {"unrated": 0.0},  # pairs without a rating as in the text
    "MDCF-real": {"real_valued": True},
}


@dataclass(kw_only=True, eq=False)
class MDCF(Recommender):
    """Codes of users and items whose product follows the ratings, and hash functions from views for whom nobody rated.

    Minimises ‖S - (R_x H_x)ᵀ R_y H_y‖² + α_1 ‖B - R_x H_x‖² + α_2 ‖D - R_y H_y‖²
    + Σ_sides Σ_k β/μ_k (‖H - W_k φ_k‖² + ρ ‖W_k‖²) + γ Σ (the r - d smallest singular values of W_k)²   (5.15).

    | symbol | name | shape |
    |---|---|---|
    | S | ratings, r (2 s - 1) with s in [0, 1] where there is one, elsewhere a constant | n × m |
    | B, D | codes of users and of items, -1 and +1 | r × n, r × m |
    | H_x, H_y | what the views of a side have in common | r × n, r × m |
    | R_x, R_y | rotations towards the codes | r × r |
    | φ_k, W_k | kernel features of view k, centred, and a one; their map | q + 1 × n, r × q + 1 |
    | μ_k | weight of view k is 1/μ_k, Σ μ_k = 1 | scalar |

    Users and items with at least `min_ratings` ratings (fewer where nobody has as many), or with ratings and no view,
    take part in training and keep their learned codes; the others are encoded from their views (5.39), rotated.  One of
    whom neither is known gets the code of the mean.
    A view that is missing counts in no term.  Ratings between `low` and `high` (None: 0 or the smallest, and the
    largest) become s.  A pair without a rating counts as minus `unrated` times the mean of S, and not less than -r;
    0 is the text's choice, but then popular and unpopular items get the same codes.  The products with S are exact in
    O(ratings · r), or go through `rank` singular values.  `ridge` is a share of the mean eigenvalue of φφᵀ.
    α, β and γ weigh against the loss of preferences in [0, 1], as in the text: against S they count 4 r² times.
    `weights` of the views at encode: each row's own ("adaptive", 5.39), those of training ("fixed"), or "equal" ones;
    "joint" fits the last maps together, by ridge regression from all views side by side, and adds up their outputs.
    `real_valued` stops at the relaxed problem and lets `recommend` rank by the product of `user_factors_` and
    `item_factors_`.  Memory is O(ratings + (n + m)(anchors · views + r)).
    """

    n_anchors: int | None = None
    alpha_users: float = 1e-2
    alpha_items: float = 1e-2
    beta: float = 1e-2
    gamma: float = 1e-4
    d: int | None = None
    penalty: float = 1.0
    ridge: float = 1e-2
    max_iter: int = 10
    rank: int | None = None
    low: float | None = None
    high: float | None = None
    unrated: float = 10.0
    min_ratings: int = 2
    weights: str = "adaptive"
    relaxed_start: bool = True
    real_valued: bool = False

    summary: ClassVar[str] = (
        "ratings and any number of views of users and items: closed-form steps, cold start by views"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("alpha_users", "alpha_items", "beta", "penalty", "ridge"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        for name in ("gamma", "unrated"):
            check_real(name, getattr(self, name), low=0)
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                check_real(name, getattr(self, name), low=-np.inf)
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low, high: expected a range of ratings, got {self.low} to {self.high}")
        check_integer("max_iter", self.max_iter, low=1)
        check_integer("min_ratings", self.min_ratings, low=1)
        for name, low in (("n_anchors", 1), ("rank", 1)):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), low=low)
        if self.d is not None:
            check_integer("d", self.d, low=1, high=self.n_bits)
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights: expected one of {', '.join(map(repr, WEIGHTS))}, got {self.weights!r}")

    def _fit(
        self, ratings: Matrix, user_views: dict[str, Matrix], item_views: dict[str, Matrix], reviews: Any
    ) -> Codes:
        rng = self._rng()
        S = self._scaled(ratings)
        counts = np.diff(S.indptr), np.bincount(S.indices, minlength=S.shape[1])
        warm = [self._warm(own, side) for own, side in zip(counts, (user_views, item_views), strict=True)]
        S = S[np.flatnonzero(warm[0])][:, np.flatnonzero(warm[1])]
        if not S.nnz:
            raise ValueError(f"min_ratings: no rating is of a user and an item that both have {self.min_ratings}")
        products = Products(S, self._value_of_unrated(S), self.rank, rng)
        views = [user_views, item_views]
        functions = [HashFunctions(), HashFunctions()]
        sides = self._start(products, views, warm, functions, rng)
        self._train(products, sides)
        for side, own in zip(sides, functions, strict=True):
            own.maps, own.weights = side.hash_functions()
            if self.weights == "joint" and side.views:
                own.maps = joint_maps({name: view.phi for name, view in side.views.items()}, side.F)
        self.user_functions_, self.item_functions_ = (own.state() for own in functions)
        users, items = (self._codes(*given) for given in zip(sides, functions, views, warm, strict=True))
        self.user_factors_, self.item_factors_ = users[0], items[0]
        has = present_rows(item_views)
        self.item_view_codes_ = view_codes(functions[1], item_views, has)
        self.item_view_present_: dict[str, Array] = dict(has)
        return Codes(users[1], items[1], users[2], items[2])

    def _warm(self, counts: NDArray[np.integer], views: dict[str, Matrix]) -> NDArray[np.bool_]:
        """Who takes part in training: those with enough ratings, and those of whom ratings are all that is known."""
        enough = counts >= min(self.min_ratings, int(counts.max()))
        return np.asarray(enough | ((counts > 0) & ~has_any(views, len(counts))))

    def _scaled(self, ratings: Matrix) -> Matrix:
        """S from ratings, by the range of the parameters or of the ratings."""
        low = min(0.0, float(ratings.data.min())) if self.low is None else float(self.low)
        high = float(ratings.data.max()) if self.high is None else float(self.high)
        if not low < high:
            raise ValueError(f"low, high: expected a range of ratings, got {low:g} to {high:g}")
        self.range_ = [low, high]
        return scale_ratings(ratings, low, high, self.n_bits)

    def _value_of_unrated(self, S: Matrix) -> float:
        """What stands in S for a pair without a rating: a little dislike, at most -r."""
        mean: float = max(float(S.data.sum()), 0.0) / (S.shape[0] * S.shape[1])
        return -min(self.unrated * mean, float(self.n_bits))

    def _start(
        self,
        products: Products,
        views: list[dict[str, Matrix]],
        warm: list[NDArray[np.bool_]],
        functions: list[HashFunctions],
        rng: np.random.Generator,
    ) -> list[Side]:
        """Both sides before the first update."""
        r = self.n_bits
        rotations = [np.eye(r), np.eye(r)]
        if self.relaxed_start:
            factors = start_factors(products, r, rng)
        else:
            factors = [rng.standard_normal((n, r)) for n in products.shape]
            rotations = [procrustes(rng.standard_normal((r, r))) for _ in range(2)]
        sides = []
        for side, H in enumerate(factors):
            rows = np.flatnonzero(warm[side])
            own = {name: matrix[rows] for name, matrix in views[side].items()}
            present = present_rows(own)
            phi = self._features(functions[side], own, present, rng) if own else {}
            sides.append(Side(H, rotations[side], phi, present, self._weights(side)))
        return sides

    def _features(
        self, functions: HashFunctions, views: dict[str, Matrix], present: Present, rng: np.random.Generator
    ) -> dict[str, Floats]:
        """φ of the training rows of one side, from anchors that are drawn from them."""
        fewest, name = min((int(has.sum()), name) for name, has in present.items())
        if not fewest:
            raise ValueError(f"view {name!r}: every row is missing among those with {self.min_ratings} ratings")
        if self.n_anchors is not None and self.n_anchors > fewest:
            raise ValueError(f"n_anchors: {self.n_anchors} anchors need as many rows with view {name!r}, got {fewest}")
        functions.fit_features(views, present, self.n_anchors or max(1, min(ANCHORS, fewest // 2)), rng)
        return functions.all_features(views, present)

    def _weights(self, side: int) -> Weights:
        unit = 4.0 * self.n_bits**2  # ‖S - BᵀD‖² over this is the loss of preferences 1/2 + bᵀd / 2r in [0, 1]
        return Weights(
            alpha=unit * (self.alpha_users, self.alpha_items)[side],
            beta=unit * self.beta,
            gamma=unit * self.gamma,
            penalty=self.penalty,
            ridge=self.ridge,
            d=self.d or max(1, self.n_bits // 2),
            equal=self.weights == "equal",
        )

    def _train(self, products: Products, sides: list[Side]) -> None:
        """The relaxed problem, then the one with codes; `objective_` holds (5.15) after each iteration."""
        relaxed = self.relaxed_start or self.real_valued
        self.relaxed_objective_: list[float] = []
        self.objective_: list[float] = []
        if relaxed:
            for _ in self._iterations(self.max_iter):
                self.relaxed_objective_.append(iterate(products, sides))
        for side in sides:
            side.binary = not self.real_valued
            side.update_codes()
        if not self.real_valued:
            for _ in self._iterations(self.max_iter):
                self.objective_.append(iterate(products, sides))

    def _codes(
        self, side: Side, functions: HashFunctions, views: dict[str, Matrix], warm: NDArray[np.bool_]
    ) -> tuple[Array, BinaryCodes, BinaryCodes]:
        """Factors (n, r) float32, codes of everyone, and codes from views alone where there are any."""
        F = side.F
        factors = np.tile(F.mean(axis=0), (len(warm), 1))
        seen = has_any(views, len(warm))
        encoded = factors.copy()
        if seen.any():
            known = {name: matrix[np.flatnonzero(seen)] for name, matrix in views.items()}
            widths = {name: matrix.shape[1] for name, matrix in views.items()}
            encoded[seen] = functions.encode(known, widths, self.weights)
        factors[~warm] = encoded[~warm]
        factors[warm] = F
        encoded[~seen] = factors[~seen]
        return factors.astype(np.float32), BinaryCodes.from_signs(factors), BinaryCodes.from_signs(encoded)

    # codes from views
    def encode_users(self, views: Views) -> BinaryCodes:
        """Codes of users from their views; each user's views are weighed by how well they agree (5.39).

        views: name -> (n, d), some or all of those of fit.  ValueError for unknown views, other widths, users without
        any view.
        """
        return BinaryCodes.from_signs(self._encode("users", views))

    def encode_items(self, views: Views) -> BinaryCodes:
        """Codes of items from their views, as `encode_users`."""
        return BinaryCodes.from_signs(self._encode("items", views))

    def _encode(self, side: str, views: Views) -> F64:
        self._check_fitted()
        users = side == "users"
        state, widths = (
            (self.user_functions_, self.user_widths_) if users else (self.item_functions_, self.item_widths_)
        )
        if not widths:
            raise ValueError(f"{self.name}: was fitted without views of {side}, so none can be encoded")
        return HashFunctions.of(state).encode(views, widths, self.weights)

    def _hits(self, users: Positions, k: int, seen: list[Array] | None) -> Hits:
        if not self.real_valued:
            return super()._hits(users, k, seen)
        found, distances = nearest_factors(self.user_factors_[users], self.item_factors_, k, seen)
        return Hits(self.item_ids_[found], distances)

    def explain(self, user: Any, item: Any) -> Explanation:
        """The share of agreeing bits, split over the views of the item whose own code has the bit, else the ratings.

        Beside these reasons the three items that the user has rated whose codes are nearest, as illustrations.
        """
        self._check_fitted()
        u, i = find_ids("user", self.user_ids_, user)[0], find_ids("item", self.item_ids_, item)[0]
        bits = self.item_codes_[i].signs()[0]
        agree = np.flatnonzero(bits == self.user_codes_[u].signs()[0])
        names = [name for name, has in self.item_view_present_.items() if has[i]]
        own = [BinaryCodes(self.item_view_codes_[name][i : i + 1], self.n_bits).signs()[0] for name in names]
        backed = np.array([code[agree] == bits[agree] for code in own]).reshape(len(names), len(agree))
        parts = backed / np.maximum(backed.sum(axis=0), 1)
        grounded = [
            Ground(f"view {name!r}", f"{int(has.sum())} of {len(agree)} shared bits", float(part.sum()) / self.n_bits)
            for name, has, part in zip(names, backed, parts, strict=True)
        ]
        rest = int((~backed.any(axis=0)).sum())
        grounded.append(Ground("ratings", f"{rest} of {len(agree)} shared bits", rest / self.n_bits))
        grounded += self._nearest_seen(u, i)
        return Explanation(None, grounded, len(agree) / self.n_bits, agree)

    def _nearest_seen(self, user: int, item: int, k: int = 3) -> list[Ground]:
        seen = self._seen_by(user)
        seen = seen[seen != item]
        distances = self.item_codes_[int(item)].hamming(self.item_codes_[seen])[0]
        nearest = np.argsort(distances, kind="stable")[:k]
        return [
            Ground(
                f"rated item {self.item_ids_[seen[j]]}",
                f"{self.n_bits - distances[j]} of {self.n_bits} bits alike",
                0.0,
            )
            for j in nearest
        ]


def has_any(views: dict[str, Matrix], n: int) -> NDArray[np.bool_]:
    """Rows that have at least one view, (n,) bool."""
    return np.any(list(present_rows(views).values()), axis=0) if views else np.zeros(n, dtype=bool)
