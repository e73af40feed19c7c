"""emoji: 1,562 Fluent emoji as pictures, with names and keywords in eleven languages."""

from __future__ import annotations

from typing import Any

import numpy as np

from modalhash.datasets.assemble import from_raw, usual_extractors
from modalhash.datasets.dataset import Dataset
from modalhash.datasets.pack import pictures, read_pack, stratified_split
from modalhash.views import Array

SHA256 = "fe990b8b7e917251f5a28c644bc4933826a94b14632c4267fcc1a386b2165fc4"
SEED = 20  # of the split, fixed for good: figures stay comparable


def load_emoji(*, image: Any = None) -> Dataset:
    """The shipped emoji: views `image` and `text`, 9 groups and 95 subgroups as labels.

    image: the extractor `image` (GradientColour by default) of the picture (128 x 128 WebP); text: Tfidf of the
    English name and keywords and of the name in ten more languages, so that words of any of them find.  Both are
    fitted on training rows.  Groups and subgroups are not added to the text, though some names and keywords hold the
    same words.  ids are the emoji
    characters; labels (1562, 104) uint8, groups first.  The split is fixed and stratified by group: 20 % queries, 10 %
    validation (in the database, not in train).  Fluent emoji (c) Microsoft, emojibase, emojilib: LICENSES/.
    """
    pack = read_pack("emoji", SHA256)
    split = stratified_split(pack["group"], query=0.2, validation=0.1, seed=SEED)
    raw: dict[str, list[Any]] = {"image": pictures(pack["webp"], pack["offset"]), "text": texts(pack)}
    columns = [one_column_each(pack[level]) for level in ("group", "subgroup")]
    return from_raw(
        "emoji",
        raw,
        usual_extractors(image),
        split,
        labels=np.hstack([labels for labels, _ in columns]),
        label_names=[name for _, names in columns for name in names],
        ids=pack["emoji"],
        titles=[f"{emoji} {name}" for emoji, name in zip(pack["emoji"], pack["name"], strict=True)],
        pictures=raw["image"],
    )


def texts(pack: dict[str, Array]) -> list[str]:
    """Name, keywords and the names in other languages of every emoji, one text each."""
    keywords = np.char.replace(pack["keywords"], "|", ", ")
    return [
        ". ".join(filter(None, (name, words, *others)))
        for name, words, others in zip(pack["name"], keywords.tolist(), pack["names"].tolist(), strict=True)
    ]


def one_column_each(names: Array) -> tuple[Array, list[str]]:
    """A 0/1 matrix (n, number of names) uint8 with one column for every distinct name, and the names."""
    distinct, positions = np.unique(names, return_inverse=True)
    return np.eye(len(distinct), dtype=np.uint8)[positions], distinct.tolist()
