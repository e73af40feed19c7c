"""Codes of items: indices of words in codebooks, whose sum stands for a real vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from modalhash.views import blocks

Score = Literal["dot", "l2"]
F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QuantizedCodes:
    """Codes of n items, each the sum of one word from every codebook.

    indices: (n, m) uint8, the word of each codebook; codebooks: (m, words, K) float32 with at most 256 words, which
    travel with the codes; score: how queries are compared with them, `dot` (inner product) or `l2` (squared distance).
    `norms`: squared norms of the decoded vectors, (n,) float32 for `l2` and empty for `dot`.
    Raises TypeError for other dtypes, ValueError for shapes that do not fit, an index without its word or an infinity.
    """

    indices: NDArray[np.uint8]
    codebooks: F32
    score: Score
    norms: F32 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_array("indices", self.indices, np.uint8)
        _check_array("codebooks", self.codebooks, np.float32)
        if self.score not in get_args(Score):
            raise ValueError(f"score: expected 'dot' or 'l2', got {self.score!r}")
        if self.codebooks.ndim != 3 or not self.codebooks.size or self.codebooks.shape[1] > 256:
            raise ValueError(f"codebooks: expected shape (m, words <= 256, K), got {self.codebooks.shape}")
        if not np.isfinite(self.codebooks).all():
            raise ValueError("codebooks: hold NaN or an infinity")
        if self.indices.ndim != 2 or self.indices.shape[1] != len(self.codebooks):
            raise ValueError(
                f"indices: expected shape (n, {len(self.codebooks)}) for {len(self.codebooks)} codebooks, "
                f"got {self.indices.shape}"
            )
        if self.indices.size and self.indices.max() >= self.n_words:
            raise ValueError(f"indices: {self.indices.max()} is out of range; each codebook has {self.n_words} words")
        object.__setattr__(self, "norms", self._norms())

    def _norms(self) -> F32:
        norms = np.empty(len(self) if self.score == "l2" else 0, dtype=np.float32)
        for rows in blocks(len(norms)):
            vectors = self._decode(rows).astype(np.float64)
            norms[rows] = np.einsum("ij,ij->i", vectors, vectors)
        return norms

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, rows: Any) -> QuantizedCodes:
        """The codes of some rows (an integer, a slice, positions or a mask); one integer gives one code."""
        if isinstance(rows, int | np.integer):
            rows = [int(rows)]
        return QuantizedCodes(self.indices[rows], self.codebooks, self.score)

    @property
    def n_words(self) -> int:
        """Words a codebook."""
        return int(self.codebooks.shape[1])

    @property
    def width(self) -> int:
        """K, the length of a decoded vector."""
        return int(self.codebooks.shape[2])

    @property
    def bytes_per_item(self) -> float:
        """Stored bytes an item: one a codebook, half a byte with up to 16 words, and 4 for the norm that `l2` keeps."""
        return len(self.codebooks) * (0.5 if self.n_words <= 16 else 1.0) + (4.0 if self.score == "l2" else 0.0)

    def decode(self) -> F32:
        """The vectors that the codes stand for, (n, K) float32."""
        return self._decode(slice(None))

    def _decode(self, rows: slice) -> F32:
        chosen = self.indices[rows]
        vectors = np.zeros((len(chosen), self.width), dtype=np.float32)
        for words, column in zip(self.codebooks, chosen.T, strict=True):
            vectors += words[column]
        return vectors


def _check_array(name: str, array: object, dtype: type) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name}: expected a {np.dtype(dtype)} array, got {found}")
