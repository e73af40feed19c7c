"""Code health: whether all bits work, how often items share a code, and how far apart pairs lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.quantized import QuantizedCodes
from modalhash.views import F64, Array, blocks

RADII = (0, 1, 2)  # of the balls that a look-up in a hash table visits


def health(codes: BinaryCodes | QuantizedCodes) -> dict[str, Any]:
    """Facts on the codes of a database, as JSON values; linear in the number of items.

    items; distinct: different codes; collisions: share of items that share their code with another; largest: items of
    the most frequent code; entropy: bits of information of the codes as drawn, at most log2(items).
    Of binary codes also: balance: share of items with a 1, a bit; bit_entropy: mean entropy of a bit (1 if balanced);
    correlation_mean, correlation_max: of |correlation| over pairs of bits, a constant bit counting as 0, and
    correlated_bits: the two that are most alike; constant: bits that never change; effective_bits: how many
    uncorrelated bits carry as much (see `effective_dimensions`).  Of quantised codes: word_entropy: of the words of
    each codebook, as a share of what is possible.
    """
    if isinstance(codes, QuantizedCodes):
        words = codes.codebooks.shape[1]
        shares = [np.bincount(column, minlength=words) / len(codes) for column in codes.indices.T]
        return collisions(codes.indices) | {
            "word_entropy": [entropy(share) / np.log2(max(words, 2)) for share in shares]
        }
    return collisions(codes.packed) | bit_facts(codes)


def collisions(rows: Array) -> dict[str, Any]:
    """How often rows (n, width) of bytes are equal."""
    whole = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    counts = np.unique(whole, return_counts=True)[1]
    n = len(rows)
    return {
        "items": n,
        "distinct": len(counts),
        "collisions": float(counts[counts > 1].sum() / n),
        "largest": int(counts.max()),
        "entropy": entropy(counts / n),
    }


def entropy(shares: Array) -> float:
    """Shannon entropy in bits of shares that sum to 1."""
    some = np.asarray(shares, dtype=np.float64)
    some = some[some > 0]
    return abs(float((some * np.log2(some)).sum()))


def bit_facts(codes: BinaryCodes) -> dict[str, Any]:
    """Balance, entropy and correlation of the bits."""
    ones, both = bit_counts(codes)
    n, share = len(codes), ones / len(codes)
    covariance = both / n - np.outer(share, share)
    spread = np.sqrt(np.diag(covariance))
    varies = (ones > 0) & (ones < n)
    scale = np.where(varies, spread, 1.0)
    correlation = np.where(np.outer(varies, varies), covariance / np.outer(scale, scale), 0.0)
    pairs = np.abs(correlation[np.triu_indices(len(ones), 1)])
    most = int(np.argmax(pairs)) if pairs.size else 0
    return {
        "balance": share.tolist(),
        "bit_entropy": float(np.mean([entropy(np.array([p, 1 - p])) for p in share])),
        "correlation_mean": float(pairs.mean()) if pairs.size else 0.0,
        "correlation_max": float(pairs[most]) if pairs.size else 0.0,
        "correlated_bits": [int(axis[most]) for axis in np.triu_indices(len(ones), 1)] if pairs.size else [],
        "constant": int((~varies).sum()),
        "effective_bits": effective_dimensions(correlation),
    }


def bit_counts(codes: BinaryCodes) -> tuple[F64, F64]:
    """Items with a 1 a bit (K,), and in both of two bits (K, K)."""
    both = np.zeros((codes.n_bits, codes.n_bits))
    for rows in blocks(len(codes)):
        bits = np.unpackbits(codes.packed[rows], axis=1, count=codes.n_bits).astype(np.float64)
        both += bits.T @ bits
    return np.diag(both).copy(), both


def effective_dimensions(correlation: F64) -> float:
    """(Σλ)² / Σλ² of the eigenvalues: K for uncorrelated bits, 1 if all are copies of one, 0 if none varies."""
    squares = float((correlation**2).sum())
    return float(np.trace(correlation)) ** 2 / squares if squares else 0.0


def ball_facts(curves: Mapping[str, Array]) -> dict[str, float]:
    """Share of queries that find nothing within each radius of RADII, from the curves by radius of a measurement."""
    empty = curves.get("empty_balls", ())
    return {f"r={radius}": float(empty[radius]) for radius in RADII if radius < len(empty)}


def distance_facts(curves: Mapping[str, Array]) -> dict[str, Any]:
    """Mean distance of relevant and of irrelevant pairs, and how well the distance tells them apart.

    overlap: the area that both histograms share, 0 (apart) to 1 (alike).  Empty without curves by radius, or where one
    of the two kinds has no pair.
    """
    if "relevant_pairs" not in curves:
        return {}
    counts = [np.asarray(curves[name], dtype=np.float64) for name in ("relevant_pairs", "irrelevant_pairs")]
    if not all(count.sum() for count in counts):
        return {}
    shares = [count / count.sum() for count in counts]
    places = np.arange(len(counts[0]))
    means = {name: float(share @ places) for name, share in zip(("relevant", "irrelevant"), shares, strict=True)}
    return means | {"overlap": float(np.minimum(*shares).sum())}
