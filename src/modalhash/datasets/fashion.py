"""fashion: 44,441 product photographs with names and attributes (Fashion Product Images, small)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modalhash.datasets.assemble import check_choice, from_raw, usual_extractors
from modalhash.datasets.dataset import Dataset, Positions
from modalhash.datasets.fair import forms, without
from modalhash.datasets.outside import read_outside
from modalhash.datasets.pack import pictures
from modalhash.views import Array

SEED = 24  # of validation and subsets, fixed for good: figures stay comparable
N_VALIDATION = 1_000
VIEWS = ("image", "text")
ATTRIBUTES = ("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "usage")
# spellings of attribute values that the names use beside the values themselves
SPELLINGS = "tee T-shirt tshirt gray golden silvery coloured color multicolour multicolor men's women's kid's unisex"


def load_fashion(
    fair: bool = True,
    *,
    labels: str = "articleType",
    n_train: int | None = None,
    n_database: int | None = None,
    views: Sequence[str] = VIEWS,
    image: Any = None,
) -> Dataset:
    """Product photographs and product names.

    Views: image, the extractor `image` (GradientColour by default) of the photograph (60 x 80 WebP); text: Tfidf of
    the product name; both fitted on training rows.
    fair: the words of all attribute values (article type, categories, colour, gender, season, usage) are taken out of
    the names, in singular and plural and as beginning or end of a longer word; 570 names have no word left:
    their text is missing.
    labels: the attribute whose values are the labels, one an item (`articleType`: 142 columns), any of ATTRIBUTES; or
    "all": the 130 values of all attributes that at least 100 items have, 6.9 an item.
    The split is fixed: 2,000 queries, 10,000 for training, 1,000 for validation; all but the queries are the database.
    n_train and n_database choose subsets of training and database items, always the same ones and the smaller inside
    the larger; training items come first into the database, then validation items.
    Read from `fashion_meta.npz` and `fashion_images.npz` in the folder that MODALHASH_DATA names; FileNotFoundError if
    they are not there.
    """
    chosen = check_choice("views", views, VIEWS)
    check_choice("labels", labels, (*ATTRIBUTES, "all"))
    keys = [key for name in ATTRIBUTES for key in (name, f"{name}_names")]
    meta = read_outside("fashion_meta", ("labels", "label_shape", "label_names", "split", "id", "name", *keys))
    rows, split = subset(meta["split"], n_train, n_database)
    told = attribute_words(meta) if fair else frozenset[str]()
    names = [meta["name"][i] for i in rows]
    raw: dict[str, Any] = {"text": without(names, told, compounds=True) if fair else names}
    if "image" in chosen:
        photographs = read_outside("fashion_images", ("webp", "offset"))
        everything = pictures(photographs["webp"], photographs["offset"])
        raw["image"] = [everything[i] for i in rows]
    matrix, label_names = label_matrix(meta, labels)
    return from_raw(
        "fashion",
        {name: raw[name] for name in chosen},
        usual_extractors(image),
        split,
        labels=matrix[rows],
        label_names=label_names,
        ids=meta["id"][rows].astype(np.int64),
        titles=names,
        pictures=raw.get("image"),
    )


def attribute_words(meta: dict[str, Any]) -> frozenset[str]:
    """The words of all attribute values, in all their forms."""
    values = [str(value) for name in ATTRIBUTES for value in meta[f"{name}_names"]]
    return forms([*values, SPELLINGS])


def label_matrix(meta: dict[str, Any], labels: str) -> tuple[Array, list[str]]:
    """The labels (n, c) uint8 of one attribute, or of all, and their names."""
    if labels == "all":
        n, columns = meta["label_shape"].tolist()
        return np.unpackbits(meta["labels"], axis=1)[:n, :columns], meta["label_names"].tolist()
    names = meta[f"{labels}_names"].tolist()
    return np.eye(len(names), dtype=np.uint8)[meta[labels]], names


def subset(parts: Array, n_train: int | None, n_database: int | None) -> tuple[Positions, dict[str, Positions]]:
    """The rows that are kept, in order, and the split as positions among them.

    parts: (n,) 2 = query, 1 = train, 0 = rest.  Raises ValueError for sizes that the data cannot give.
    """
    rng = np.random.default_rng(SEED)
    query, train, rest = (rng.permutation(np.flatnonzero(parts == part)) for part in (2, 1, 0))
    n_train = len(train) if n_train is None else n_train
    if not 1 <= n_train <= len(train):
        raise ValueError(f"n_train: expected 1…{len(train)}, got {n_train}")
    validation, rest = rest[:N_VALIDATION], np.concatenate([rest[N_VALIDATION:], train[n_train:]])
    order = np.concatenate([train[:n_train], validation, rest])
    n_database = len(order) if n_database is None else n_database
    if not n_train <= n_database <= len(order):
        raise ValueError(f"n_database: expected {n_train} (n_train)…{len(order)}, got {n_database}")
    chosen = {"query": query, "train": train[:n_train], "validation": validation, "database": order[:n_database]}
    rows = np.unique(np.concatenate(list(chosen.values())))
    return rows, {part: np.searchsorted(rows, np.sort(members)) for part, members in chosen.items()}
