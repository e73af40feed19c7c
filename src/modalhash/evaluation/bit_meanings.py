"""Bit meanings: which labels, tags or words each bit stands for, and why two codes match, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.datasets.dataset import Dataset
from modalhash.hasher import check_integer, check_real
from modalhash.views import F64, Matrix, blocks, check_labels, is_sparse

MIN_COUNT = 10  # items that carry a term, and that do not
LEVEL = 0.01  # chance that any term at all is named by noise
PRIOR = 1.0  # items of the general mix at each value of a bit, beside those that carry a term
SMALLEST = 1.0  # expected items in the emptiest cell of a term's table with a bit, for the chi-square law to hold


@dataclass(frozen=True)
class Meaning:
    """A term that a bit stands for: items with the bit at `value` carry it more often than the others.

    information: mutual information of bit and term, in bits; share, share_other: of items with the bit at `value`, and
    at the other value, that carry the term; count: items that carry it.
    """

    bit: int
    value: int
    term: str
    information: float
    share: float
    share_other: float
    count: int


@dataclass(frozen=True, eq=False)
class BitMeanings:
    """What the bits of the codes of n items stand for.

    terms: names of the t terms; `information` (t, K): mutual information in bits; `significant` (t, K): not noise;
    `carried` (t, K), `counts` (t,), `total` (K,): items with the term and the bit set, with the term, with the bit set.
    """

    terms: tuple[str, ...]
    information: F64
    significant: NDArray[np.bool_]
    carried: F64
    counts: F64
    total: F64
    n: int

    def of_bit(self, bit: int, top: int = 3) -> list[Meaning]:
        """The terms that a bit tells most of, largest information first; empty where it stands for nothing known."""
        information = np.where(self.significant[:, bit], self.information[:, bit], -1.0)
        order = np.argsort(-information, kind="stable")[:top]
        return [self.meaning(int(i), bit) for i in order if information[i] >= 0]

    def meaning(self, term: int, bit: int) -> Meaning:
        """One term and one bit."""
        ones, count, size = float(self.carried[term, bit]), float(self.counts[term]), float(self.total[bit])
        value = int(ones * self.n > count * size)
        shares = ones / max(size, 1), (count - ones) / max(self.n - size, 1)
        share, other = shares if value else shares[::-1]
        return Meaning(bit, value, self.terms[term], float(self.information[term, bit]), share, other, int(count))

    def all(self, top: int = 3) -> list[Meaning]:
        """The meanings of all bits, bit by bit."""
        return [meaning for bit in range(len(self.total)) for meaning in self.of_bit(bit, top)]

    def evidence(self) -> tuple[F64, F64]:
        """log2 P(bit | term) / P(bit) of bit 1 and of bit 0, both (t, K), 0 where the pair is not significant.

        PRIOR items of the general mix at each value are added to those with the term, so that none is impossible.
        """
        base = self.total / max(self.n, 1)
        ones = (self.carried + 2 * PRIOR * base) / (self.counts[:, None] + 2 * PRIOR)
        sides = []
        for share, usual in ((ones, base), (1 - ones, 1 - base)):
            ratio = np.divide(share, usual, out=np.ones_like(share), where=self.significant & (share > 0))
            sides.append(np.log2(ratio))
        return sides[0], sides[1]


def bit_meanings(
    codes: BinaryCodes, terms: Matrix, names: Sequence[str], *, min_count: int = MIN_COUNT, level: float = LEVEL
) -> BitMeanings:
    """Mutual information of every bit with every term, and which of it is no noise.

    terms: (n, t) dense or sparse, what is not 0 counts as 1; names: of the t terms.  A pair is significant if term and
    bit both occur, and fail to, `min_count` times, the emptiest cell of their table is expected to hold at least one
    item, and the G-test (2 n ln 2 times the information, chi-square of one degree) passes `level` divided by the number
    of all pairs that are tested (Bonferroni).  One sparse product; no loop over items, bits or terms.
    Raises ValueError for shapes that do not fit.
    """
    check_integer("min_count", min_count, low=1)
    check_real("level", level, low=0, inclusive=False)
    n, K = len(codes), codes.n_bits
    if np.ndim(terms) != 2 and not is_sparse(terms):
        raise ValueError(f"terms: expected shape ({n}, terms), got {np.shape(terms)}")
    if terms.shape[0] != n or terms.shape[1] != len(names):
        raise ValueError(f"terms: expected shape ({n}, {len(names)}), got {terms.shape}")
    carried, counts, total = np.zeros((len(names), K)), np.zeros(len(names)), np.zeros(K)
    for rows in blocks(n):
        bits = np.unpackbits(codes.packed[rows], axis=1, count=K).astype(np.float64)
        block = (terms[rows] != 0).astype(np.float64)
        carried += np.asarray(block.T @ bits)
        counts += np.asarray(block.sum(axis=0)).ravel()
        total += bits.sum(axis=0)
    return of_counts(carried, counts, total, n, names, min_count=min_count, level=level)


def of_counts(
    carried: F64, counts: F64, total: F64, n: int, names: Sequence[str], *, min_count: int, level: float
) -> BitMeanings:
    """`bit_meanings` from counts: items with term and bit (t, K), with the term (t,), with the bit (K,), of n."""
    from scipy.special import chdtri

    rows, columns = np.stack([counts, n - counts]), np.stack([total, n - total])  # (2, t), (2, K)
    first = np.stack([carried, counts[:, None] - carried])
    found = np.stack([first, columns[:, None] - first])  # (with or without the term, bit 1 or 0, t, K)
    expected = rows[:, None, :, None] * columns[None, :, None, :] / max(n, 1)
    ratio = np.divide(found, expected, out=np.ones_like(found), where=(found > 0) & (expected > 0))
    information = np.maximum((found * np.log2(ratio)).sum(axis=(0, 1)) / max(n, 1), 0.0)
    tested = (rows.min(axis=0)[:, None] >= min_count) & (columns.min(axis=0)[None] >= min_count)
    tested &= expected.min(axis=(0, 1)) >= SMALLEST
    threshold = float(chdtri(1, level / max(int(tested.sum()), 1)))
    significant = tested & (2 * n * np.log(2) * information > threshold)
    return BitMeanings(tuple(map(str, names)), information, significant, carried, counts, total, n)


@dataclass(frozen=True)
class Reason:
    """A term that the bits in which two codes agree speak for.

    evidence: log2 of how much likelier these bits are among items with the term than among all, each bit taken by
    itself; bits: how many of them speak for it.
    """

    term: str
    evidence: float
    bits: int


@dataclass(frozen=True)
class Match:
    """Why two codes match: the bits in which they agree, and the terms that these speak for, strongest first."""

    agree: int
    n_bits: int
    reasons: tuple[Reason, ...]

    @property
    def words(self) -> str:
        """The match as a sentence."""
        start = f"{self.agree} of {self.n_bits} bits agree"
        if not self.reasons:
            return f"{start}; they stand for nothing that has a name here"
        told = ", ".join(f"{reason.term} ({reason.bits} bits)" for reason in self.reasons)
        return f"{start}; they speak for {told}".replace("(1 bits)", "(1 bit)")


def explain_match(meanings: BitMeanings, first: BinaryCodes, second: BinaryCodes, top: int = 3) -> list[Match]:
    """Why first[i] and second[i] match, a Match a pair; both hold equally many codes of the length of `meanings`.

    Of every term the evidence log2 P(bit | term) / P(bit) is summed over the bits in which the pair agrees and that
    have to do with the term; terms with no evidence for them are left out.  Raises ValueError for other lengths.
    """
    K = len(meanings.total)
    if first.n_bits != K or second.n_bits != K or len(first) != len(second):
        found = f"{len(first)} of {first.n_bits} and {len(second)} of {second.n_bits}"
        raise ValueError(f"codes: expected equally many of {K} bits, got {found}")
    bits = np.unpackbits(first.packed, axis=1, count=K).astype(bool)
    agree = bits == np.unpackbits(second.packed, axis=1, count=K).astype(bool)
    ones, zeros = meanings.evidence()
    evidence = (agree & bits) @ ones.T + (agree & ~bits) @ zeros.T
    speaking = (agree & bits).astype(np.int64) @ (ones > 0).T + (agree & ~bits).astype(np.int64) @ (zeros > 0).T
    order = np.argsort(-evidence, axis=1, kind="stable")[:, :top]
    matches = []
    for i, terms in enumerate(order):
        told = [
            Reason(meanings.terms[t], float(evidence[i, t]), int(speaking[i, t])) for t in terms if evidence[i, t] > 0
        ]
        matches.append(Match(int(agree[i].sum()), K, tuple(told)))
    return matches


def label_terms(data: Dataset) -> tuple[Matrix, list[str], NDArray[np.bool_]]:
    """The labels as terms (n, c), their names, and which items are labelled; ValueError for data without labels."""
    if data.labels is None:
        raise ValueError(f"{data.name}: has no labels")
    labels, labelled = check_labels(data.labels, len(data))
    known = data.label_names
    if known is None or len(known) != labels.shape[1]:
        known = [f"label {i}" for i in range(labels.shape[1])]
    return labels, [str(name) for name in known], labelled


def word_terms(data: Dataset, min_count: int = MIN_COUNT) -> tuple[Matrix, list[str]]:
    """The words of the data's raw texts as a sparse 0/1 matrix (n, words), and the words, in order.

    A word is kept if at least `min_count` items have it.  ValueError for data without raw texts.
    """
    from modalhash.words import words

    texts = next((column for column in data.raw.values() if len(column) and isinstance(column[0], str)), None)
    if texts is None:
        raise ValueError(f"{data.name}: has no raw texts to take words from")
    return listed_terms([sorted(set(words(text))) for text in texts], min_count)


def tag_terms(data: Dataset, min_count: int = MIN_COUNT) -> tuple[Matrix, list[str]]:
    """The tags of the data's items (`Dataset.tags`) as `word_terms` gives words, spaces in them kept.

    A tag is kept if at least `min_count` items have it.  ValueError for data without such tags.
    """
    if data.tags is None:
        raise ValueError(f"{data.name}: has no tags")
    return listed_terms([sorted(set(filter(None, text.split("|")))) for text in data.tags], min_count)


def listed_terms(lists: Sequence[Sequence[str]], min_count: int) -> tuple[Matrix, list[str]]:
    """Terms that at least `min_count` items list, as a sparse 0/1 matrix (n, terms), and the terms, in order."""
    from scipy.sparse import csr_matrix

    found, places = np.unique([term for terms in lists for term in terms], return_inverse=True)
    edges = np.cumsum([0, *map(len, lists)])
    matrix: Any = csr_matrix((np.ones(len(places), dtype=np.float32), places, edges), shape=(len(lists), len(found)))
    kept = np.flatnonzero(np.bincount(places, minlength=len(found)) >= min_count)
    return matrix[:, kept], [str(found[i]) for i in kept]
