"""What the report says of itself: how to read it, and what its words mean."""

from __future__ import annotations

from collections.abc import Sequence

from modalhash.evaluation.cards import Card
from modalhash.evaluation.report_blocks import Terms

INTRODUCTION = (
    "Each system turns an item into a short code, and a search finds the items whose codes differ least from the code "
    "of the query. The tables say how good these searches are, for how many bytes an item and how much time. All words "
    "are explained at the end."
)
MEASURES = {
    "AP": (
        "mAP",
        "mean average precision over the full ranking: precision at each relevant item of a query's ranking, averaged; "
        "1 if all relevant items come first. Items at one distance have no order of their own, so the mean over their "
        "orders is taken",
    ),
    "nDCG": (
        "nDCG",
        "discounted gain over the full ranking: an item counts by the labels it shares, and less the later it comes",
    ),
}
GENERAL = [
    ("relevant", "an item is relevant to a query when both carry a label in common"),
    (
        "bits, bytes an item",
        "the length of a code, and what is stored of an item; a search compares codes and nothing else",
    ),
    (
        "precision, recall",
        "the share of what is found that is relevant, and the share of what is relevant that is found",
    ),
    (
        "radius",
        "all items whose code differs from the query's in at most so many bits; precision is 0 where there is none",
    ),
    (
        "A → B",
        "queries are known in view A only, and the items that are searched were encoded from view B only; all views: "
        "from every view that an item has",
    ),
    (
        "±",
        "the standard deviation over seeds: how far chance in the fit moves a figure, not what another data set would",
    ),
    (
        "protocol",
        "who queries whom, what counts as relevant, and every convention; equal protocols have equal names, and "
        "figures of different ones do not share a table",
    ),
]
HEALTH = [
    (
        "balance",
        "how far the share of items that have a bit set is from one half, mean over bits: 0 % is best, 50 % is dead",
    ),
    ("correlation, highest", "how much two bits say the same, 0 to 1: mean over all pairs of bits, and the worst pair"),
    ("effective bits", "how many uncorrelated bits would carry as much as these"),
    ("entropy", "bits of information in the codes of the database; items that share a code cannot be told apart"),
    ("collisions", "the share of items that share their code with another item"),
    (
        "empty r=0, 1, 2",
        "the share of queries that find nothing within so many bits, so that a look-up in a hash table gives nothing",
    ),
    ("overlap", "the area that the distances of relevant and of irrelevant pairs share: 0 % apart, 100 % alike"),
]


COMPARED = [
    (
        "float32",
        "the vectors themselves, compared by cosine; int8 keeps a byte a dimension, cut the first dimensions only",
    ),
    (
        "sign, mean-sign, rotation, RaBitQ",
        "one bit a dimension: whether it is above 0, or above the training mean, as it is or after a random rotation; "
        "RaBitQ adds two floats that correct the estimate",
    ),
    (
        "ITQ, CCA-ITQ, PQ, OPQ",
        "codes fitted to the vectors without labels: signs of rotated components, or a byte a part of the dimensions",
    ),
    (
        "rescoring",
        "the first items by code are ordered again by their kept float vectors, whose bytes then count as well",
    ),
    ("neighbours@N", "the share of the N nearest items by the float vectors that are among the first N found"),
    ("own length", "as long as the vectors make it, whatever number of bits was asked for"),
]


def glossary(cards: Sequence[Card], measure: str) -> Terms:
    """What the words of a report on these cards mean."""
    items = [MEASURES.get(measure, (measure, "the mean over queries of this measure")), *GENERAL]
    items += COMPARED * any("contender" in card.facts for card in cards)
    return Terms([*items, *HEALTH] if any(card.health for card in cards) else items)
