"""wiki: 2,866 Wikipedia articles as picture and text features, 10 classes (Rasiwasia et al. 2010)."""

from __future__ import annotations

from typing import Any

import numpy as np

from modalhash.datasets.dataset import Dataset, Positions
from modalhash.datasets.outside import read_outside
from modalhash.views import Array, Matrix

SEED = 22  # of the validation items
KEYS = ("I_tr", "I_te", "T_tr", "T_te", "y_tr", "y_te", "categories", "txt_id_tr", "txt_id_te")
TEXTS = ("lda", "tfidf")


def load_wiki(text: str = "lda", n_validation: int = 0) -> Dataset:
    """The Wikipedia set in its published split: 2,173 items train and are the database, 693 query.

    Views: image, 128-d SIFT bag of words; text, 10-d LDA topics ("lda"), or 1,000-d tf-idf as CSR ("tfidf").
    labels (2866, 10) uint8, one an item.  n_validation takes that many of the training items, always the same ones,
    out of training for the choice of hyper-parameters; they stay in the database.
    Read from `wiki.npz` in the folder that MODALHASH_DATA names; FileNotFoundError if it is not there.
    """
    if text not in TEXTS:
        raise ValueError(f"text: expected one of {', '.join(TEXTS)}, got {text!r}")
    kept = read_outside("wiki", KEYS if text == "lda" else (*KEYS, *_sparse_keys("tr"), *_sparse_keys("te")))
    classes = np.concatenate([kept["y_tr"], kept["y_te"]]).astype(np.int64) - 1
    image = np.vstack([kept["I_tr"], kept["I_te"]])
    return Dataset(
        name="wiki",
        views={"image": image, "text": np.vstack([kept["T_tr"], kept["T_te"]]) if text == "lda" else _tfidf(kept)},
        labels=np.eye(len(kept["categories"]), dtype=np.uint8)[classes],
        label_names=kept["categories"].tolist(),
        titles=np.concatenate([kept["txt_id_tr"], kept["txt_id_te"]]).tolist(),
        split=_split(len(kept["y_tr"]), len(classes), n_validation),
    )


def _sparse_keys(part: str) -> tuple[str, ...]:
    return tuple(f"tfidf_{part}_{array}" for array in ("data", "indices", "indptr", "shape"))


def _tfidf(kept: dict[str, Any]) -> Matrix:
    from scipy.sparse import csr_matrix, vstack

    parts: list[list[Array]] = [[kept[key] for key in _sparse_keys(part)] for part in ("tr", "te")]
    return vstack([csr_matrix(tuple(rest), shape=tuple(shape.tolist())) for *rest, shape in parts], format="csr")


def _split(n_train: int, n: int, n_validation: int) -> dict[str, Positions]:
    if not 0 <= n_validation < n_train:
        raise ValueError(f"n_validation: expected 0…{n_train - 1}, got {n_validation}")
    order = np.random.default_rng(SEED).permutation(n_train)
    return {
        "train": np.sort(order[n_validation:]),
        "validation": np.sort(order[:n_validation]),
        "query": np.arange(n_train, n),
        "database": np.arange(n_train),
    }
