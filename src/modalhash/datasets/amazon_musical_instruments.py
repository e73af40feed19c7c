"""amazon_musical_instruments: 10,261 ratings with reviews of 900 instruments and accessories by 1,429 people."""

from __future__ import annotations

import numpy as np

from modalhash.datasets.outside import read_outside
from modalhash.datasets.ratings import Ratings
from modalhash.datasets.reviews import Reviews

NAME = "amazon_musical_instruments"
KEYS = ("user", "item", "rating", "time", "helpful", "asin", "review")


def load_amazon_ratings() -> Ratings:
    """All ratings of Amazon Musical Instruments 5-core (2014), 1 to 5, sparse (1429, 900), each with its review.

    Users are positions, ids of items are Amazon's; times are unix seconds (whole days), `helpful` counts who found a
    review helpful.  Read from `amazon_musical_instruments.npz` in the folder that MODALHASH_DATA names;
    FileNotFoundError if it is not there.
    """
    import scipy.sparse as sp

    kept = read_outside(NAME, KEYS)
    users, items = (kept[key].astype(np.int64) for key in ("user", "item"))
    shape = int(users.max()) + 1, len(kept["asin"])
    return Ratings(
        name=NAME,
        ratings=sp.csr_array((kept["rating"].astype(np.float64), (users, items)), shape=shape),
        item_ids=kept["asin"],
        reviews=Reviews(users, items, kept["review"], kept["time"].astype(np.int64), kept["helpful"][:, 0]),
    )
