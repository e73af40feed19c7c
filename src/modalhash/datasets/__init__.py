"""Data: the shipped packs, files of the user's, planted problems."""

from modalhash.datasets.dataset import Dataset, random_split
from modalhash.datasets.planted import planted

__all__ = ["Dataset", "planted", "random_split"]
