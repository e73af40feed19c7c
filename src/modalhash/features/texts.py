"""Tfidf: weighted words of texts in any language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.features.extractor import Extractor, check_raw
from modalhash.hasher import check_integer
from modalhash.solvers import fix_signs
from modalhash.views import Matrix
from modalhash.words import words


@dataclass(kw_only=True, eq=False)
class Tfidf(Extractor):
    """tf-idf of words and pieces of words, folded into topics, rows of length 1; over scikit-learn's TfidfVectorizer.

    Words that fewer than `min_df` training texts hold are left out, and only the `max_features` most frequent are
    kept.  sublinear: a word that stands k times counts 1 + ln k.  ngrams: (shortest, longest) pieces of words that
    count as well, so that inflected, rare and misspelt words find; None for whole words only.
    n_topics: the matrix is projected on that many leading singular directions of the training texts (fewer where
    there are fewer texts or words), so that two words find as well as twenty; None keeps the sparse words.
    What is a word: see `words.words`.
    """

    min_df: int = 2
    max_features: int = 10_000
    sublinear: bool = True
    ngrams: tuple[int, int] | None = (3, 4)
    n_topics: int | None = 128

    takes: ClassVar[str] = "text"
    learned: ClassVar[tuple[str, ...]] = ("vocabulary_", "idf_", "topics_")

    def fit(self, raw: Sequence[str]) -> Self:
        """Learn the words and their weights from training texts; ValueError if no word is left."""
        self._check_parameters()
        check_texts(raw)
        vectorizer = self._vectorizer()
        try:
            counts = vectorizer.fit_transform(raw)
        except ValueError as error:
            raise ValueError(f"no word is in {self.min_df} (min_df) of the {len(raw)} training texts") from error
        self.vocabulary_: list[str] = vectorizer.get_feature_names_out().tolist()
        self.idf_: NDArray[np.float32] = np.asarray(vectorizer.idf_, dtype=np.float32)
        self.topics_: NDArray[np.float32] = topics(counts, self.n_topics)
        self._ready = self._restored()
        return self

    def transform(self, raw: Sequence[str]) -> Matrix:
        """Texts to (n, topics) float32, or (n, words) float32 CSR without topics.

        A text without any known word gives a missing row.
        """
        self._check_fitted()
        check_texts(raw)
        if not hasattr(self, "_ready"):
            self._ready = self._restored()
        weights = self._ready.transform(raw).tocsr()
        return _with_gaps(weights) if self.n_topics is None else _folded(weights, self.topics_)

    def _restored(self) -> Any:
        """scikit-learn's object from what is saved; kept, for it takes longer to build than to use."""
        vectorizer = self._vectorizer(vocabulary=self.vocabulary_)
        vectorizer.idf_ = self.idf_
        return vectorizer

    def _vectorizer(self, **known: Any) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        limits = {} if known else {"min_df": self.min_df, "max_features": self.max_features}
        return TfidfVectorizer(
            analyzer=partial(words, ngrams=self.ngrams),
            sublinear_tf=self.sublinear,
            dtype=np.float32,
            **limits,
            **known,
        )

    def _check_parameters(self) -> None:
        check_integer("min_df", self.min_df, low=1)
        check_integer("max_features", self.max_features, low=1)
        if self.n_topics is not None:
            check_integer("n_topics", self.n_topics, low=1)
        if self.ngrams is not None:
            if not isinstance(self.ngrams, tuple) or len(self.ngrams) != 2:
                raise TypeError(f"ngrams: expected (shortest, longest) or None, got {self.ngrams!r}")
            check_integer("ngrams", self.ngrams[0], low=1)
            check_integer("ngrams", self.ngrams[1], low=self.ngrams[0])

    def _check_learned(self) -> None:
        if not isinstance(self.vocabulary_, list) or not all(isinstance(word, str) for word in self.vocabulary_):
            raise TypeError("vocabulary_: expected a list of words")
        if self.idf_.shape != (len(set(self.vocabulary_)),):
            raise ValueError(f"idf_ has shape {self.idf_.shape}, the vocabulary {len(set(self.vocabulary_))} words")
        if self.n_topics is not None and len(self.topics_) != len(self.idf_):
            raise ValueError(f"topics_ has shape {self.topics_.shape}, the vocabulary {len(self.idf_)} words")


def topics(weights: Matrix, n_topics: int | None) -> NDArray[np.float32]:
    """The leading right singular vectors (words, topics) of a sparse matrix (texts, words); no column for None."""
    if n_topics is None:
        return np.zeros((weights.shape[1], 0), dtype=np.float32)
    from scipy.sparse.linalg import svds

    k = min(n_topics, *weights.shape)
    if k >= min(weights.shape) - 1:
        right = np.linalg.svd(weights.toarray().astype(np.float64), full_matrices=False)[2][:k]
    else:
        right = svds(weights.astype(np.float64), k=k, v0=np.ones(min(weights.shape)))[2][::-1]
    return np.ascontiguousarray(fix_signs(np.asarray(right.T)), dtype=np.float32)


def _folded(weights: Matrix, directions: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(weights.astype(np.float64) @ directions.astype(np.float64))
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    values = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    values[np.diff(weights.indptr) == 0] = np.nan
    return np.asarray(values, dtype=np.float32)


def check_texts(raw: object) -> None:
    """Raise TypeError naming the first value that is no text, ValueError if there is none."""
    check_raw(raw, (str, bytes), "texts")
    assert isinstance(raw, Sequence | np.ndarray)
    for i, text in enumerate(raw):
        if not isinstance(text, str):
            raise TypeError(f"text {i}: expected a str, got {type(text).__name__}")


def _with_gaps(matrix: Matrix) -> Matrix:
    """The matrix with one stored NaN in every row that stores nothing."""
    empty = np.diff(matrix.indptr) == 0
    if not empty.any():
        return matrix
    at = matrix.indptr[:-1][empty]
    indptr = matrix.indptr + np.concatenate([[0], np.cumsum(empty)])
    values = np.insert(matrix.data, at, np.float32(np.nan)), np.insert(matrix.indices, at, 0), indptr
    return type(matrix)(values, shape=matrix.shape)
