"""A small data set of pictures and words in four groups, quick to make: one colour, one subject a group."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from modalhash.datasets import Dataset
from modalhash.datasets.assemble import from_raw, usual_extractors

GROUPS = {"fruit": "red", "fields": "green", "seas": "blue", "lights": "orange"}


@cache
def coloured_pictures(n: int = 160) -> Dataset:
    """Stripes of the group's colour, as wide as chance has it, and a name beside the group's word."""
    rng = np.random.default_rng(0)
    of = np.arange(n) % len(GROUPS)
    pictures, texts = [], []
    for group in of:
        image = Image.new("RGB", (24, 24), "white")
        image.paste(list(GROUPS.values())[group], (0, 0, int(rng.integers(8, 20)), 24))
        stream = io.BytesIO()
        image.save(stream, "PNG")
        pictures.append(stream.getvalue())
        texts.append(f"{list(GROUPS)[group]} {' '.join(rng.choice(['old', 'new', 'far', 'near', 'small'], 2))}")
    return from_raw(
        "coloured",
        {"image": pictures, "text": texts},
        usual_extractors(),
        {"train": np.arange(n), "database": np.arange(n)},
        labels=np.eye(len(GROUPS), dtype=np.uint8)[of],
        label_names=list(GROUPS),
        titles=[f"<b>{text}</b> {i}" for i, text in enumerate(texts)],
        pictures=pictures,
    )
