"""Training-free codes of a float space: each learns little or nothing from training rows and no labels.

A maker gets unit training rows (n, d) float32, a budget in bits (0: the code's own length) and a seed, and returns
Codes: how items become an index and how queries are asked.  What cannot be done raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modalhash.baselines.itq import ITQ
from modalhash.baselines.sign_embedding import SignEmbedding
from modalhash.codes import BinaryCodes
from modalhash.evaluation.spaces import F32
from modalhash.evaluation.vectors import Vectors
from modalhash.hasher import Hasher
from modalhash.index import Index
from modalhash.quantized import QuantizedCodes
from modalhash.solvers import signs
from modalhash.views import F64, blocks

FACTORS = 8  # bytes a RaBitQ code keeps beside its bits: two float32
WORDS = 256
SPACE = "space"


@dataclass(frozen=True, eq=False)
class Codes:
    """How unit rows become an index, and queries (the rows themselves where nothing is said)."""

    index: Callable[[F32], Any]
    queries: Callable[[F32], Any] = lambda rows: rows


def float32(rows: F32, bits: int, seed: int) -> Codes:
    """The floats themselves."""
    return Codes(lambda items: Vectors(items, 4.0 * items.shape[1]))


def int8(rows: F32, bits: int, seed: int) -> Codes:
    """One byte a dimension, scaled by the largest training value of each; with a budget only its first dimensions."""
    width = rows.shape[1] if not bits else dimensions(bits // 8, rows)
    scale = np.maximum(np.abs(rows[:, :width]).max(axis=0), 1e-12) / 127

    def index(items: F32) -> Vectors:
        steps = np.clip(np.rint(first(items, width, bits) / scale), -127, 127)
        return Vectors(np.asarray(steps * scale, dtype=np.float32), float(width))

    return Codes(index, lambda asked: first(asked, width, bits))


def cut(rows: F32, bits: int, seed: int) -> Codes:
    """The first dimensions as float32, scaled to unit length again."""
    width = dimensions(bits // 32, rows)
    return Codes(lambda items: Vectors(first(items, width, bits), 4.0 * width), lambda asked: first(asked, width, bits))


def dimensions(width: int, rows: F32) -> int:
    """The number of dimensions that a budget pays for; ValueError for none, or for as many as there are."""
    if not 1 <= width < rows.shape[1]:
        raise ValueError(f"the budget pays for {width} of {rows.shape[1]} dimensions")
    return width


def first(rows: F32, width: int, bits: int) -> F32:
    """The first dimensions, of unit length again where some were cut off."""
    if not bits:
        return rows
    norms = np.linalg.norm(rows[:, :width], axis=1, keepdims=True)
    return np.asarray(rows[:, :width] / np.where(norms > 0, norms, 1.0), dtype=np.float32)


def sign(rows: F32, bits: int, seed: int) -> Codes:
    """One bit a dimension, against zero; with a budget only the first dimensions."""
    return hashed(SignEmbedding(n_bits=bits or rows.shape[1]), rows)


def mean_sign(rows: F32, bits: int, seed: int) -> Codes:
    """One bit a dimension, against its training mean."""
    return hashed(SignEmbedding(n_bits=bits or rows.shape[1], threshold="mean"), rows)


def itq(rows: F32, bits: int, seed: int) -> Codes:
    """Principal components, rotated."""
    return hashed(ITQ(n_bits=bits, random_state=seed), rows)


def hashed(hasher: Hasher, rows: F32) -> Codes:
    """The codes of a Hasher that is fitted on the space as its one view."""
    hasher.fit({SPACE: rows})
    return Codes(lambda items: Index.build(hasher.encode({SPACE: items})), lambda asked: hasher.encode({SPACE: asked}))


def rotation(rows: F32, bits: int, seed: int) -> Codes:
    """Signs of a random rotation of the rows less their mean; at most one bit a dimension."""
    mean, turn = rows.mean(axis=0, dtype=np.float64), random_rotation(rows.shape[1], seed)[:, : bits or None]
    if bits > rows.shape[1]:
        raise ValueError(f"a rotation of {rows.shape[1]} dimensions gives no {bits} bits")

    def encode(items: F32) -> BinaryCodes:
        return BinaryCodes.from_signs((items - mean) @ turn)

    return Codes(lambda items: Index.build(encode(items)), encode)


def random_rotation(width: int, seed: int) -> F64:
    """A rotation (width, width) drawn evenly among all."""
    drawn = np.random.default_rng(seed).standard_normal((width, width))
    turn, upper = np.linalg.qr(drawn)
    return np.asarray(turn * signs(np.diag(upper)))


def rabitq(rows: F32, bits: int, seed: int) -> Codes:
    """Signs of a random rotation with two float32 an item, which make the estimated distance unbiased.

    With a budget the rotation keeps as many directions as it pays for, the two floats counted.
    """
    width = rows.shape[1] if not bits else bits - 8 * FACTORS
    if not 1 <= width <= rows.shape[1]:
        raise ValueError(f"{bits} bits leave {width} for signs beside its {FACTORS} bytes of factors")
    turn = random_rotation(rows.shape[1], seed)[:, :width]
    return rabitq_codes(rows.mean(axis=0, dtype=np.float64), turn)


def rabitq_codes(mean: F64, turn: F64) -> Codes:
    """RaBitQ (Gao & Long 2024) around a mean (d,) with orthonormal directions (d, width).

    With r = Pᵀ(x - c), stored are b = sign(r), ‖r‖² and ‖r‖²/⟨r, b⟩; the squared distance to a query is estimated as
    ‖r‖² + ‖Pᵀ(q - c)‖² - 2 ⟨Pᵀ(q - c), b⟩ ‖r‖²/⟨r, b⟩.
    """

    def index(items: F32) -> Vectors:
        decoded = np.empty((len(items), turn.shape[1]), dtype=np.float32)
        squares = np.empty(len(items), dtype=np.float32)
        for block in blocks(len(items)):
            turned = (items[block] - mean) @ turn
            bits, sizes = signs(turned), np.abs(turned).sum(axis=1)
            squares[block] = np.einsum("nd,nd->n", turned, turned)
            decoded[block] = 2 * bits * (squares[block] / np.where(sizes > 0, sizes, 1.0))[:, None]
        return Vectors(decoded, -(-turn.shape[1] // 8) + FACTORS, squares)

    return Codes(index, lambda asked: np.asarray((asked - mean) @ turn, dtype=np.float32))


def pq(rows: F32, bits: int, seed: int) -> Codes:
    """Product quantisation by faiss: one byte a part of the dimensions."""
    return product_codes(rows, bits, seed, None)


def opq(rows: F32, bits: int, seed: int) -> Codes:
    """Product quantisation after a rotation that faiss learns for it."""
    faiss = faiss_module()
    parts, width = part_sizes(rows, bits)
    matrix = faiss.OPQMatrix(parts * width, parts)
    matrix.niter, matrix.niter_pq, matrix.verbose = 20, 4, False
    quantiser = product_quantizer(faiss, parts, width, seed)
    matrix.pq = quantiser
    matrix.train(padded(rows, parts * width)[:OPQ_ROWS])
    turn = faiss.vector_to_array(matrix.A).reshape(parts * width, parts * width).T
    return product_codes(rows, bits, seed, np.asarray(turn, dtype=np.float32))


OPQ_ROWS = 20_000  # that OPQ's rotation is learned from


def product_codes(rows: F32, bits: int, seed: int, turn: F32 | None) -> Codes:
    """Codes of a faiss product quantiser as QuantizedCodes, searched by our tables.

    A word c carries ‖c‖² in one more dimension and queries carry -1/2 there: the inner product then ranks as the
    distance does.
    """
    faiss = faiss_module()
    parts, width = part_sizes(rows, bits)

    def mapped(some: F32) -> F32:
        wide = padded(some, parts * width)
        return np.ascontiguousarray(wide if turn is None else wide @ turn)

    train = mapped(rows)
    quantiser = product_quantizer(faiss, parts, width, seed)
    quantiser.train(train)
    words = faiss.vector_to_array(quantiser.centroids).reshape(parts, WORDS, width)
    books = np.zeros((parts, WORDS, parts * width + 1), dtype=np.float32)
    for part in range(parts):
        books[part, :, part * width : (part + 1) * width] = words[part]
    books[..., -1] = np.einsum("pwd,pwd->pw", words, words)

    def index(items: F32) -> Index:
        return Index.build(QuantizedCodes(quantiser.compute_codes(mapped(items)), books, "dot"))

    def queries(asked: F32) -> F32:
        half = np.full((len(asked), 1), -0.5, dtype=np.float32)
        return np.hstack([mapped(asked), half])

    return Codes(index, queries)


def product_quantizer(faiss: Any, parts: int, width: int, seed: int) -> Any:
    """A faiss product quantiser of one byte a part, silent on small data."""
    quantiser = faiss.ProductQuantizer(parts * width, parts, 8)
    quantiser.cp.seed, quantiser.cp.min_points_per_centroid, quantiser.cp.verbose = seed + 1, 1, False
    return quantiser


def part_sizes(rows: F32, bits: int) -> tuple[int, int]:
    """How many parts a budget pays for, and the dimensions of each (the last padded with zeros)."""
    parts = bits // 8
    if not 1 <= parts <= rows.shape[1]:
        raise ValueError(f"{bits} bits make {parts} parts of {rows.shape[1]} dimensions")
    if len(rows) < WORDS:
        raise ValueError(f"{WORDS} words a part need as many training items, got {len(rows)}")
    return parts, -(-rows.shape[1] // parts)


def padded(rows: F32, width: int) -> F32:
    """Rows with zeros up to a width."""
    if rows.shape[1] == width:
        return np.ascontiguousarray(rows)
    wide = np.zeros((len(rows), width), dtype=np.float32)
    wide[:, : rows.shape[1]] = rows
    return wide


def faiss_module() -> Any:
    """The faiss module; ImportError names the extra."""
    try:
        from importlib import import_module

        return import_module("faiss")
    except ImportError:
        raise ImportError("PQ and OPQ need faiss: pip install 'modalhash[compare]'") from None


MAKERS: dict[str, Callable[[F32, int, int], Codes]] = {
    "float32": float32,
    "int8": int8,
    "sign": sign,
    "mean-sign": mean_sign,
    "rotation": rotation,
    "ITQ": itq,
    "PQ": pq,
    "OPQ": opq,
    "RaBitQ": rabitq,
    "cut": cut,
}
