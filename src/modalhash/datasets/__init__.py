"""Data: the shipped packs, files of the user's, planted problems."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from modalhash.datasets.dataset import Dataset, random_split
from modalhash.datasets.embeddings import SUFFIXES, centred, read_embeddings
from modalhash.datasets.files import read_dataset, write_dataset
from modalhash.datasets.make import make_dataset
from modalhash.datasets.planted import planted

NAMED = {
    "emoji": "1,562 pictures with keywords, names in 11 languages, 9 groups and 95 subgroups (shipped)",
    "clipart": "3,509 pictures with titles and noisy user tags, 44 labels, several an item (shipped)",
    "clipart-tags": "the same pictures with their user tags as the view `tags` in place of the text (shipped)",
    "wiki": "2,866 articles, ready-made picture and text features, 10 classes (needs MODALHASH_DATA)",
    "fashion": "44,441 product photographs with names, 142 article types, 6 more attributes (needs MODALHASH_DATA)",
    "uci_mfeat": "2,000 handwritten digits in 6 views, 10 classes (needs MODALHASH_DATA)",
    "ml1m": "films of MovieLens-1M as posters and plots, 18 genres (needs MODALHASH_DATA)",
}
OF = {"clipart-tags": ("clipart", {"views": ("image", "tags")})}  # name -> another set and the options that make it

__all__ = [
    "NAMED",
    "Dataset",
    "centred",
    "load_dataset",
    "make_dataset",
    "planted",
    "random_split",
    "read_dataset",
    "read_embeddings",
    "write_dataset",
]


def load_dataset(name: str | os.PathLike[str], **options: Any) -> Dataset:
    """A data set by its name (see NAMED) or from a path: `.npz`, `.mat`, a folder, or embeddings in a
    `.npy`, `.parquet`, `.arrow` or `.feather` file (`read_embeddings`).

    `clipart-tags` is `clipart` with views=("image", "tags"), for those who cannot give options (the command line).
    options: those of the reader, such as fair=False (`load_clipart`, `load_fashion`, `read_mat` …); a folder or a
    `.npz` file takes none.  Raises FileNotFoundError that lists the names, or names the file that a data set needs,
    and TypeError that lists the options.
    """
    source, fixed = OF.get(str(name), (name, {}))
    if str(name) in NAMED:
        load = getattr(import_module(f"modalhash.datasets.{source}"), f"load_{source}")
    elif not Path(name).exists():
        raise FileNotFoundError(f"{name}: is neither a data set ({', '.join(NAMED)}) nor an existing path")
    elif Path(name).suffix.lower() == ".mat":
        from modalhash.datasets.mat_files import read_mat

        load = partial(read_mat, name)
    elif Path(name).suffix.lower() in SUFFIXES:
        load = partial(read_embeddings, name)
    else:
        load = partial(read_dataset, name)
    _check_options(str(name), load, options)
    found = load(**{**fixed, **options})
    assert isinstance(found, Dataset)
    return found


def _check_options(name: str, load: Callable[..., Any], options: Mapping[str, Any]) -> None:
    known = [key for key in inspect.signature(load).parameters if key != "path"]
    for key in options:
        if key not in known:
            raise TypeError(f"{name}: has no option {key!r}; it takes {', '.join(known) or 'none'}")
