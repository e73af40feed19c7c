"""ml1m: films of MovieLens-1M as posters and plots, 18 genres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modalhash.datasets.assemble import check_choice, from_raw, usual_extractors
from modalhash.datasets.dataset import Dataset, random_split
from modalhash.datasets.fair import forms, without
from modalhash.datasets.outside import read_outside
from modalhash.datasets.pack import pictures

SEED = 25  # of the split, fixed for good: figures stay comparable
VIEWS = ("image", "text")
KEYS = ("item_id", "genres", "genre_multihot", "poster_webp", "poster_offset", "has_poster", "title", "plot")
# words of the same stems, by which plots call the genres
RELATIVES = """animated comedic comical criminal documentaries dramatic fantastic fantasies horrific musicals mysterious
romantic thrilling scifi fiction"""


def load_ml1m(fair: bool = True, *, views: Sequence[str] = VIEWS, image: Any = None) -> Dataset:
    """The films of MovieLens-1M that have a poster and a plot; 18 genres as labels, several an item.

    Views: image, the extractor `image` (GradientColour by default) of the poster (96 x 144 WebP); text: Tfidf of the
    plot; both fitted on training rows.  fair: the words that genres are called by are taken out of the plots, in
    singular and plural, and words of the same stems; every plot keeps other words.
    ids are MovieLens film numbers.  The split is fixed and by chance: 20 % queries, 10 % validation (in the database,
    not in train).  Read from `ml1m.npz` in the folder that MODALHASH_DATA names; FileNotFoundError if it is not there.
    """
    chosen = check_choice("views", views, VIEWS)
    kept = read_outside("ml1m", KEYS)
    rows = np.flatnonzero([bool(plot.strip()) for plot in kept["plot"]] & (kept["has_poster"] == 1))
    posters = pictures(kept["poster_webp"], kept["poster_offset"])
    plots = [kept["plot"][i] for i in rows]
    told = genre_words(kept["genres"].tolist())
    raw: dict[str, Any] = {
        "image": [posters[i] for i in rows],
        "text": without(plots, told) if fair else plots,
    }
    return from_raw(
        "ml1m",
        {name: raw[name] for name in chosen},
        usual_extractors(image),
        random_split(len(rows), query=0.2, validation=0.1, seed=SEED),
        labels=kept["genre_multihot"][rows],
        label_names=kept["genres"].tolist(),
        ids=kept["item_id"][rows].astype(np.int64),
        titles=[kept["title"][i] for i in rows],
        pictures=raw["image"],
    )


def genre_words(genres: Sequence[str]) -> frozenset[str]:
    """The words that genres are called by, in all their forms."""
    return forms([*genres, RELATIVES])
