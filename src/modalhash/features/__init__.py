"""Extractors: raw pictures and texts to matrices, fitted on training rows and saved beside the model."""

from __future__ import annotations

import os
from pathlib import Path

from modalhash.features.efficientnet import EfficientNetLite0
from modalhash.features.extractor import EXTRACTOR, Extractor
from modalhash.features.images import GradientColour
from modalhash.features.texts import Tfidf
from modalhash.folders import read_json

__all__ = ["EfficientNetLite0", "Extractor", "GradientColour", "Tfidf", "load_extractor"]

EXTRACTORS: dict[str, type[Extractor]] = {
    "EfficientNetLite0": EfficientNetLite0,
    "GradientColour": GradientColour,
    "Tfidf": Tfidf,
}


def load_extractor(folder: str | os.PathLike[str]) -> Extractor:
    """Read a fitted extractor of any class from its folder; FileNotFoundError or ValueError name the file."""
    name = read_json(Path(folder) / EXTRACTOR).get("class")
    if name not in EXTRACTORS:
        raise ValueError(f"{Path(folder) / EXTRACTOR}: holds an extractor of an unknown class {name!r}")
    return EXTRACTORS[name].load(folder)
