"""clipart: 3,509 pictures of the Open Clip Art Library with titles and user tags, 44 labels, several an item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modalhash.datasets.assemble import check_choice, from_raw, usual_extractors
from modalhash.datasets.dataset import Dataset, Positions
from modalhash.datasets.fair import forms, tells, without
from modalhash.datasets.pack import pictures, read_pack
from modalhash.views import Array, Matrix
from modalhash.words import words

SHA256 = "200ce20e933dc316e8c111f7478a3c45907f3690c791981b667935249acca298"
SEED = 21  # of the split, fixed for good: figures stay comparable
N_QUERY, N_VALIDATION = 500, 300
MIN_USES = 3  # of a user tag in training rows, to become a column
VIEWS = ("image", "text", "tags")
# folders and user tags from which the labels were made, where they are not the label's own words
SOURCES = """bugs beverages meats and eggs, breads and carbs, protein carbohydrate cake, smilies stickmen stickman
bodypart, america north_america united_states unitedstates, australia spain france italy, geography, roadsigns mapsym
transportation car, boating, equipment, festive, education, led, bulb, ornamental decorations"""


def load_clipart(
    fair: bool = True, *, views: Sequence[str] = ("image", "text"), image: Any = None, min_uses: int = MIN_USES
) -> Dataset:
    """The shipped clip art: views `image`, `text` and, if asked for, `tags`; 44 labels made of folders and tags.

    image: the extractor `image` (GradientColour by default) of the picture (112 x 112 WebP); text: Tfidf of the title
    and the user tags; tags: (n, tags) float32 CSR of 0 and 1, one column for each user tag that at least `min_uses`
    training items carry, noise included.  All are fitted on training rows.
    fair: the words that labels are called by and made from are taken out of text and tags, in singular and plural and
    as beginning or end of a longer word, for the labels come partly from the tags.  136 of 3,509 items then
    have no word left: their text is missing.  fair=False keeps every word.
    `Dataset.tags` holds the user tags, whether their view is asked for or not.
    labels (3509, 44) uint8; 391 items have none (a zero row).  ids are the paths of the files.  The split is fixed:
    500 queries and 300 validation items (in the database, not in train), all of them with a label.
    Public domain, LICENSES/openclipart.txt.
    """
    chosen = check_choice("views", views, VIEWS)
    pack = read_pack("clipart", SHA256)
    split = labelled_split(pack["labels"], seed=SEED)
    told = label_words(pack["label_names"].tolist()) if fair else frozenset[str]()
    shown = pictures(pack["webp"], pack["offset"])
    raw: dict[str, Any] = {"image": shown, "text": texts(pack, told)}
    lists, tags = tag_lists(pack["tags"].tolist(), told), {}
    if "tags" in chosen:
        tags["tags"] = tag_matrix(lists, split["train"], min_uses)[0]
    return from_raw(
        "clipart",
        {name: raw[name] for name in chosen if name in raw},
        usual_extractors(image),
        split,
        views=tags,
        labels=pack["labels"],
        label_names=pack["label_names"].tolist(),
        ids=pack["path"],
        titles=pack["title"].tolist(),
        tags=["|".join(row) for row in lists],
        pictures=shown,
    )


def label_words(label_names: Sequence[str]) -> frozenset[str]:
    """The words that labels are called by and were made from, in all their forms."""
    return forms([*label_names, SOURCES])


def texts(pack: dict[str, Array], told: frozenset[str]) -> list[str]:
    """Title and user tags of every item, without the words `told`."""
    joined = [
        f"{title}. {tags.replace('|', ', ')}"
        for title, tags in zip(pack["title"].tolist(), pack["tags"].tolist(), strict=True)
    ]
    return without(joined, told, compounds=True) if told else joined


def tag_lists(tags: Sequence[str], told: frozenset[str] = frozenset()) -> list[list[str]]:
    """User tags, separated by |, as a sorted list an item, without those of which a word is in `told`."""
    lists = [set(filter(None, text.split("|"))) for text in tags]
    telling = {tag for tag in set().union(*lists) if _tag_tells(tag, told)}
    return [sorted(row - telling) for row in lists]


def tag_matrix(lists: Sequence[Sequence[str]], train: Positions, min_uses: int) -> tuple[Matrix, list[str]]:
    """Tags of items as a (n, tags) float32 CSR matrix of 0 and 1, and the tags in order of the columns.

    A tag is kept if at least `min_uses` of the rows `train` carry it.  Raises ValueError if no tag is kept.
    """
    from scipy.sparse import csr_matrix

    uses: dict[str, int] = {}
    for i in train.tolist():
        for tag in lists[i]:
            uses[tag] = uses.get(tag, 0) + 1
    names = sorted(tag for tag, count in uses.items() if count >= min_uses)
    if not names:
        raise ValueError(f"tags: no tag is used {min_uses} times (min_uses) in the {len(train)} training items")
    columns = {tag: j for j, tag in enumerate(names)}
    kept = [[columns[tag] for tag in row if tag in columns] for row in lists]
    indices = np.array([j for row in kept for j in row], dtype=np.int32)
    edges = np.cumsum([0, *(len(row) for row in kept)])
    return csr_matrix((np.ones(len(indices), dtype=np.float32), indices, edges), shape=(len(lists), len(names))), names


def _tag_tells(tag: str, told: frozenset[str]) -> bool:
    return bool(told) and any(tells(word, told, compounds=True) for word in words(tag))


def labelled_split(labels: Array, *, seed: int) -> dict[str, Positions]:
    """Queries and validation items by chance among the items with a label; the rest trains."""
    order = np.random.default_rng(seed).permutation(len(labels))
    asked = order[np.asarray(labels)[order].any(axis=1)][: N_QUERY + N_VALIDATION]
    parts = {"query": asked[:N_QUERY], "validation": asked[N_QUERY:]}
    parts["train"] = np.setdiff1d(order, asked)
    parts["database"] = np.setdiff1d(order, parts["query"])
    return {part: np.sort(rows).astype(np.int64) for part, rows in parts.items()}
