"""ml1m as ratings: 1,000,209 of them, with views of the people (profile) and the films (genres, plot, poster)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modalhash.datasets.assemble import usual_extractors
from modalhash.datasets.outside import read_outside
from modalhash.datasets.pack import pictures
from modalhash.datasets.ratings import Ratings
from modalhash.views import F64, Array, Matrix, is_sparse

KEYS = ("item_id", "genre_multihot", "poster_webp", "poster_offset", "has_poster", "title", "plot")
KEYS_OF_RATINGS = ("user", "item", "rating", "user_id", "gender", "age", "occupation")


def load_ml1m_ratings() -> Ratings:
    """All ratings of MovieLens-1M, 1 to 5, sparse (6040, 3883).

    User view: profile, gender, age group and occupation as ones among zeros.  Item views: genres (18 columns), plot
    (Tfidf) and poster (GradientColour), missing where a film has none; extractors are fitted on all films, as no
    rating is in them.  ids are MovieLens numbers.  Read from `ml1m.npz` in the folder that MODALHASH_DATA names;
    FileNotFoundError if it is not there.
    """
    import scipy.sparse as sp

    kept = read_outside("ml1m", (*KEYS, *KEYS_OF_RATINGS))
    films, people = kept["item_id"].astype(np.int64), kept["user_id"].astype(np.int64)
    shown = pictures(kept["poster_webp"], kept["poster_offset"])
    usual = usual_extractors()
    plot, plots = _with_gaps(usual["text"], [text.strip() for text in kept["plot"]])
    poster, posters = _with_gaps(usual["image"], shown)
    rows, places = np.searchsorted(people, kept["user"]), kept["item"].astype(np.int64)  # an item is a row of films
    values = kept["rating"].astype(np.float64)
    return Ratings(
        name="ml1m",
        ratings=sp.csr_array((values, (rows, places)), shape=(len(people), len(films))),
        user_views={"profile": np.hstack([_ones(kept[key]) for key in ("gender", "age", "occupation")])},
        item_views={"genres": kept["genre_multihot"].astype(np.float32), "plot": plots, "poster": posters},
        user_ids=people,
        item_ids=films,
        titles=list(kept["title"]),
        pictures=shown,
        features={"plot": plot, "poster": poster},
    )


def _ones(values: Array) -> F64:
    """A column for every distinct value, 1 where it stands."""
    distinct, positions = np.unique(values, return_inverse=True)
    return np.asarray(np.eye(len(distinct))[positions])


def _with_gaps(extractor: Any, column: Sequence[Any]) -> tuple[Any, Matrix]:
    """The extractor fitted on what is there, and its features with a row of NaN (sparse: one NaN) for what is not."""
    import scipy.sparse as sp

    from modalhash.features.cache import fitted

    there = np.flatnonzero([bool(value) for value in column])
    gaps = np.setdiff1d(np.arange(len(column)), there)
    done, found = fitted(extractor, [column[i] for i in there.tolist()], range(len(there)))
    shape = (len(column), found.shape[1])
    if not is_sparse(found):
        dense = np.full(shape, np.nan, dtype=np.float32)
        dense[there] = found
        return done, dense
    entries = found.tocoo()
    values = np.concatenate([entries.data, np.full(len(gaps), np.nan, dtype=entries.data.dtype)])
    rows, places = np.concatenate([there[entries.row], gaps]), np.concatenate([entries.col, np.zeros_like(gaps)])
    return done, sp.csr_array((values, (rows, places)), shape=shape)
