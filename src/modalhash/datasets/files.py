"""Data sets as files: one `.npz`, or a folder of the same arrays as `.npy` (memory-mapped), never pickled.

Arrays: `view.NAME` (n, d), or sparse as `view.NAME.data|indices|indptr|shape`; optional `labels` (also sparse),
`labelled` (n,) bool, `label_names`, `ids`, `titles`, `tags`, `split.PART`, and `raw.NAME`: n texts, or encoded pictures
as `raw.NAME.bytes` (all of them in a row) with `raw.NAME.offsets` (n + 1,).  `pictures.bytes` and `pictures.offsets`
hold pictures that are only shown, where no view is made of them.
A folder may hold `features/NAME/`, the fitted extractor of a view.  A raw view without a matrix gets one at loading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets.dataset import PARTS, Dataset
from modalhash.folders import write_json, written_whole
from modalhash.views import Array, Matrix, is_sparse, missing, one_hot

MARKER = "dataset.json"
_KEY = re.compile(
    r"(view|raw)\.[^/]+|labels(\.(data|indices|indptr|shape))?|labelled|label_names|ids|titles|tags"
    r"|split\.[a-z]+|pictures\.(bytes|offsets)"
)
_SPARSE = (".data", ".indices", ".indptr", ".shape")
_PICTURES = (".bytes", ".offsets")


def read_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set from a `.npz` file or a folder of `.npy` files.

    Raises FileNotFoundError or ValueError that name the file and the array at fault.
    """
    source = Path(path)
    arrays = read_arrays(source)
    for key in arrays:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{source}: unknown array {key!r}")
    try:
        return _assemble(source, arrays)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{source}: {error}") from error


def read_arrays(source: Path) -> dict[str, Array]:
    """The arrays of a `.npz` file or of a folder of `.npy` files by name; errors name the file."""
    return _read_folder(source) if source.is_dir() else _read_npz(source)


def _read_npz(path: Path) -> dict[str, Array]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: not found; DATA is the name of a data set, a .npz file or a folder")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:  # numpy leaves a damaged one open
            if not hasattr(content, "files"):
                raise ValueError("holds one array, expected an archive of named arrays")
            return {key: content[key] for key in content.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise ValueError(f"{path}: is not a readable .npz file ({error})") from error


def _read_folder(folder: Path) -> dict[str, Array]:
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise ValueError(f"{folder}: holds no .npy files")
    arrays = {}
    for file in files:
        try:
            arrays[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"{file}: is not a readable .npy file ({error})") from error
    return arrays


def _assemble(source: Path, arrays: Mapping[str, Array]) -> Dataset:
    raw = raw_columns(arrays)
    views = matrices(arrays, "view.")
    labels = matrices(arrays, "", "labels").get("labels")
    if labels is not None and "labelled" in arrays:
        labels = _with_gaps(labels, arrays["labelled"])
    shown = raw_columns({f"raw.{key}": array for key, array in arrays.items() if key.startswith("pictures.")})
    columns = {key: texts_of(key, arrays[key]) for key in ("titles", "tags", "label_names") if key in arrays}
    common: dict[str, Any] = {
        "name": source.resolve().name if source.is_dir() else source.stem,
        "labels": labels,
        "ids": arrays.get("ids"),
        "raw": raw,
        "split": {key.removeprefix("split."): arrays[key] for key in arrays if key.startswith("split.")},
        "pictures": next((column for column in (*shown.values(), *raw.values()) if is_pictures(column)), None),
        **columns,
    }
    features: dict[str, Any] = {}
    if source.is_dir() and (source / "features").is_dir():
        from modalhash.features import load_extractor

        folders = sorted(path for path in (source / "features").iterdir() if path.is_dir())
        features = {folder.name: load_extractor(folder) for folder in folders}
    return with_features(views, features, common, cached=True)


def with_features(
    views: Mapping[str, Matrix], features: Mapping[str, Any], common: Mapping[str, Any], *, cached: bool = False
) -> Dataset:
    """A Dataset in which every raw view has a matrix, made by an extractor fitted on the training rows.

    cached: matrices of extractors that are fitted here come from the cache where it has them.
    """
    raw = common["raw"]
    without = [name for name in raw if name not in views]
    if not views and not without:
        raise ValueError("holds no view: expected view.NAME or raw.NAME")
    n = next(iter(views.values())).shape[0] if views else len(raw[without[0]])
    draft = Dataset(**{**common, "views": {**views, **{name: np.zeros((n, 1)) for name in without}}})
    made, fitted = dict(views), dict(features)
    if without and not len(draft.split["train"]):
        raise ValueError(f"split.train: holds no item, so that nothing can be learned for view {without[0]!r}")
    for name in without:
        try:
            if name in fitted:
                made[name] = fitted[name].transform(raw[name])
            else:
                fitted[name], made[name] = fit_extractor(raw[name], draft.split["train"], cached=cached)
        except ValueError as error:
            raise ValueError(f"raw.{name}: {error}") from error
    return Dataset(**{**common, "views": made, "features": fitted})


def fit_extractor(column: Sequence[Any], train: Array, *, cached: bool) -> tuple[Any, Matrix]:
    """The usual extractor for pictures or texts, fitted on training rows, and the matrix of all rows."""
    from modalhash.features import Extractor, GradientColour, Tfidf
    from modalhash.features.cache import fitted

    extractor: Extractor = GradientColour() if is_pictures(column) else Tfidf()
    rows = train.tolist()
    return fitted(extractor, column, rows) if cached else (extractor, extractor.fit_transform(column, rows))


def is_pictures(column: Sequence[Any]) -> bool:
    """True if a raw column holds encoded pictures, not texts."""
    return len(column) > 0 and isinstance(column[0], bytes)


def raw_columns(arrays: Mapping[str, Array]) -> dict[str, list[Any]]:
    """Texts and encoded pictures of the arrays `raw.NAME` and `raw.NAME.bytes|offsets`."""
    raw: dict[str, list[Any]] = {}
    for key in (key for key in arrays if key.startswith("raw.")):
        if not key.endswith(_PICTURES):
            raw[key.removeprefix("raw.")] = texts_of(key, arrays[key])
            continue
        stem = key.rpartition(".")[0]
        for part in _PICTURES:
            if stem + part not in arrays:
                raise ValueError(f"{key}: needs {stem + part} beside it")
        if key.endswith(".bytes"):
            raw[stem.removeprefix("raw.")] = split_pictures(stem, arrays[key], arrays[f"{stem}.offsets"])
    return raw


def texts_of(key: str, array: Array) -> list[str]:
    """An array of texts as a list; TypeError for other arrays."""
    if array.dtype.kind != "U" or array.ndim != 1:
        raise TypeError(f"{key}: expected n texts, got {array.dtype} {array.shape}")
    return [str(text) for text in array.tolist()]


def split_pictures(key: str, blob: Array, offsets: Array) -> list[bytes]:
    """Cut encoded pictures, laid one after the other, at their offsets."""
    edges = np.asarray(offsets).astype(np.int64)
    if blob.dtype != np.uint8 or blob.ndim != 1 or edges.ndim != 1:
        raise TypeError(f"{key}: expected bytes (uint8) and offsets (n + 1,), got {blob.dtype} {blob.shape}")
    if len(edges) < 2 or edges[0] != 0 or edges[-1] != len(blob) or (np.diff(edges) < 0).any():
        raise ValueError(f"{key}: offsets must rise from 0 to {len(blob)}")
    data = blob.tobytes()
    return [data[low:high] for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def join_pictures(pictures: Sequence[bytes]) -> dict[str, Array]:
    """The two arrays `bytes` and `offsets` that hold encoded pictures."""
    offsets = np.cumsum([0, *(len(picture) for picture in pictures)], dtype=np.int64)
    return {"bytes": np.frombuffer(b"".join(pictures), dtype=np.uint8), "offsets": offsets}


def matrices(arrays: Mapping[str, Array], prefix: str, only: str | None = None) -> dict[str, Matrix]:
    """The matrices, dense or sparse, whose names start with `prefix`, by the rest of the name; or `only` that one."""
    found: dict[str, Matrix] = {}
    for key in (key for key in arrays if key.startswith(prefix) and (only is None or key.split(".")[0] == only)):
        if key.endswith(_SPARSE):
            stem = key.rpartition(".")[0]
            found[stem.removeprefix(prefix)] = _sparse(stem, arrays)
        else:
            found[key.removeprefix(prefix)] = arrays[key]
    return found


def _sparse(key: str, arrays: Mapping[str, Array]) -> Matrix:
    from scipy.sparse import csr_matrix

    parts = [arrays.get(f"{key}.{part}") for part in ("data", "indices", "indptr", "shape")]
    if any(part is None for part in parts):
        raise ValueError(f"{key}: a sparse matrix needs {key}.data, .indices, .indptr and .shape")
    data, indices, indptr, shape = parts
    try:
        matrix = csr_matrix((data, indices, indptr), shape=tuple(int(side) for side in np.asarray(shape)))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{key}: is not a CSR matrix ({error})") from error
    return matrix


def _with_gaps(labels: Matrix, labelled: Array) -> Matrix:
    n = labels.shape[0] if labels.ndim else 0
    if labelled.dtype != bool or labelled.shape != (n,):
        raise ValueError(f"labelled: expected ({n},) bool, got {labelled.dtype} {labelled.shape}")
    if labelled.all():
        return labels
    if labels.ndim == 1:  # classes: what stands in rows that are not labelled is no class
        classes = one_hot(labels[labelled])
        full = np.full((n, classes.shape[1]), np.nan, dtype=np.float32)
        full[labelled] = classes
        return full
    full = (labels.toarray() if is_sparse(labels) else np.asarray(labels)).astype(np.float32)
    full[~labelled] = np.nan
    return full


def write_dataset(data: Dataset, folder: str | os.PathLike[str]) -> None:
    """Write a data set as a folder that `read_dataset` reads, whole or not at all.

    Raises ValueError for what such files cannot hold: a text that ends in a NUL character, and a view whose name ends
    as the parts of an array do (`.data`, `.bytes`, ...).
    """
    arrays = _arrays(data)
    with written_whole(folder, marker=MARKER) as temporary:
        for key, array in arrays.items():
            np.save(temporary / f"{key}.npy", np.asarray(array), allow_pickle=False)
        for name, extractor in data.features.items():
            extractor.save(temporary / "features" / name)
        write_json(temporary / MARKER, {"format": 1, "name": data.name, "n": len(data), "checksum": data.checksum})


def _arrays(data: Dataset) -> dict[str, Any]:
    for name in (*data.views, *data.raw):
        if name.endswith(_SPARSE + _PICTURES):
            raise ValueError(f"view {name!r}: a name in a file must not end in {name[name.rindex('.') :]!r}")
    arrays: dict[str, Any] = {"ids": data.ids}
    for name, matrix in data.views.items():
        arrays |= matrix_arrays(f"view.{name}", matrix)
    if data.labels is not None:
        arrays |= _label_arrays(data.labels)
    arrays |= {key: _text_array(key, column) for key, column in _text_columns(data).items()}
    for key, pictures in _picture_columns(data).items():
        arrays |= {f"{key}.{part}": array for part, array in join_pictures(pictures).items()}
    return arrays | {f"split.{part}": data.split[part] for part in PARTS}


def _picture_columns(data: Dataset) -> dict[str, Sequence[bytes]]:
    raw = {f"raw.{name}": column for name, column in data.raw.items() if is_pictures(column)}
    first = next(iter(raw.values()), None)
    if data.pictures is None or (first is not None and list(data.pictures) == list(first)):
        return raw
    return raw | {"pictures": data.pictures}


def _text_array(key: str, column: Sequence[str]) -> Array:
    for i, text in enumerate(column):
        if text.endswith("\0"):  # numpy pads texts with these and cuts them off again
            raise ValueError(f"{key}: text {i} ends in a NUL character, which cannot be kept")
    return np.array(column, dtype=np.str_)


def _text_columns(data: Dataset) -> dict[str, Sequence[str]]:
    columns: dict[str, Sequence[str] | None] = {
        "titles": data.titles,
        "tags": data.tags,
        "label_names": data.label_names,
    }
    columns |= {f"raw.{name}": column for name, column in data.raw.items() if not is_pictures(column)}
    return {key: column for key, column in columns.items() if column is not None}


def matrix_arrays(key: str, matrix: Matrix) -> dict[str, Any]:
    """The arrays that hold a matrix in a file: itself, or the four parts of a sparse one."""
    if not is_sparse(matrix):
        return {key: matrix}
    csr = matrix.tocsr()
    parts = {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr, "shape": np.array(csr.shape)}
    return {f"{key}.{part}": array for part, array in parts.items()}


def _label_arrays(labels: Matrix) -> dict[str, Any]:
    if not is_sparse(labels) and np.ndim(labels) == 1:
        return {"labels": labels}
    unlabelled = missing(labels)
    if not unlabelled.any():
        return matrix_arrays("labels", labels)
    filled = np.where(unlabelled[:, None], 0, labels.toarray() if is_sparse(labels) else labels)
    return {"labels": filled.astype(np.uint8), "labelled": ~unlabelled}
