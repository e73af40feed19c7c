"""Folders of plain files, written whole: a reader sees the old folder or the new one, never a half."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.quantized import QuantizedCodes

FORMAT = 1
ARRAYS = "arrays.safetensors"


@contextmanager
def written_whole(folder: str | os.PathLike[str], *, marker: str) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error.

    An existing folder is replaced only if it holds the file `marker` with a format of ours, that is, if we wrote
    it; any other non-empty folder is refused with ValueError, so that nothing of the user's is lost.
    """
    target = Path(folder)
    check_target(target, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _swap(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(target: Path, marker: str) -> None:
    """Raise ValueError where `written_whole` would refuse, so that long work need not end in it."""
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: is a file, expected a folder")
    if target.is_dir() and any(target.iterdir()):
        if not (target / marker).is_file():
            raise ValueError(f"{target}: holds other files (no {marker}); nothing was written")
        _check_ours(target / marker)


def _check_ours(marker: Path) -> None:
    try:
        content = json.loads(marker.read_text(encoding="utf8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ValueError(f"{marker}: is not a file of ours; nothing was written")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent)) / "folder"
    target.rename(old)
    try:
        temporary.rename(target)
    except BaseException:  # Ctrl-C, too
        if not target.exists():
            old.rename(target)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, keys in the order given, and a closing newline."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def read_json(path: Path, formats: tuple[int, ...] = (FORMAT,)) -> dict[str, Any]:
    """Read a JSON object of ours, of a known format; FileNotFoundError or ValueError name the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found")
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(content, dict) or content.get("format") not in formats:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected format {' or '.join(map(str, formats))}, found {found!r}")
    return content


def write_state(folder: Path, name: str, header: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write `state` as `name` (JSON values) and arrays.safetensors (arrays, texts, dicts of arrays, codes)."""
    from safetensors.numpy import save_file

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "U":  # texts as code points, padded with zeros
            arrays[f"{key}/letters"] = np.ascontiguousarray(value).view(np.uint32).reshape(len(value), -1)
            plain[key] = {"texts": value.dtype.str}
        elif isinstance(value, np.ndarray):
            arrays[key] = value
        elif isinstance(value, BinaryCodes):
            arrays[f"{key}/packed"] = value.packed
            plain[key] = {"codes": "binary", "n_bits": value.n_bits}
        elif isinstance(value, QuantizedCodes):
            arrays |= {f"{key}/indices": value.indices, f"{key}/codebooks": value.codebooks}
            plain[key] = {"codes": "quantized", "score": value.score}
        elif isinstance(value, dict) and value and all(isinstance(part, np.ndarray) for part in value.values()):
            arrays.update({f"{key}/{part}": array for part, array in value.items()})
            plain[key] = {"arrays": list(value)}
        else:
            plain[key] = {"value": value}
    write_json(folder / name, {"format": FORMAT, **header, "state": plain})
    save_file({key: np.asarray(array, order="C") for key, array in arrays.items()}, folder / ARRAYS)


def read_state(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_state` wrote: the header and the state; ValueError names a damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    header = read_json(folder / name)
    path = folder / ARRAYS
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found")
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: is damaged ({error})") from error
    try:
        state = {key: _revive(key, value, arrays) for key, value in header["state"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder / name}: does not match {ARRAYS} ({error!r})") from error
    state.update({key: array for key, array in arrays.items() if "/" not in key})
    return header, state


def _revive(key: str, value: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if value.get("codes") == "quantized":
        return QuantizedCodes(arrays[f"{key}/indices"], arrays[f"{key}/codebooks"], value["score"])
    if "codes" in value:
        return BinaryCodes(arrays[f"{key}/packed"], value["n_bits"])
    if "texts" in value:
        return arrays[f"{key}/letters"].view(value["texts"]).ravel()
    if "arrays" in value:
        return {part: arrays[f"{key}/{part}"] for part in value["arrays"]}
    return value["value"]
