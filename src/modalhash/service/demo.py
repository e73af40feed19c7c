"""The collection and the recommender of the demo: learned from the shipped pictures when they are first asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from modalhash import __version__
from modalhash.catalog import make
from modalhash.cli_recommend import save_with_titles
from modalhash.collection import FILE, from_dataset
from modalhash.datasets import load_dataset
from modalhash.demo.hit_rates import split_ratings
from modalhash.demo.recommend import learn
from modalhash.demo.simulated import simulate
from modalhash.features.cache import cache_folder
from modalhash.model import MODEL

BITS, USER_BITS = 64, 32


def demo_folders() -> tuple[Path, Path]:
    """Folders of the demo's collection and recommender in the cache; made in seconds if they are not there."""
    cache = cache_folder() or Path(tempfile.mkdtemp(prefix="modalhash-demo-"))
    folder = cache / f"demo-{__version__}"
    collection, recommender = folder / "collection", folder / "recommender"
    if not (collection / FILE).is_file():
        data = load_dataset("emoji")
        hasher = make("A2LH", n_bits=BITS, random_state=0)
        from_dataset(collection, hasher.fit(data.part("train"), data.part_labels("train")), data)
    if not (recommender / MODEL).is_file():
        source, _ = simulate(0)
        save_with_titles(learn(source, split_ratings(source, 0), USER_BITS, 0), recommender, source.titles)
    return collection, recommender
