"""The contract of every extractor: learn from training rows, raw pictures or texts to a matrix, save and load."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from modalhash.folders import read_state, write_state, written_whole
from modalhash.views import Matrix

EXTRACTOR = "extractor.json"


@dataclass(kw_only=True, eq=False)
class Extractor(ABC):
    """Turns raw values of one view (encoded pictures, texts) into its matrix.

    A subclass names in `learned` the attributes that `fit` sets, and writes `fit`, `transform` and `_check_learned`.
    """

    takes: ClassVar[str] = ""  # what a raw value is: "image" or "text"
    learned: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, raw: Sequence[Any]) -> Self:
        """Learn from the raw values of training rows; returns self."""

    @abstractmethod
    def transform(self, raw: Sequence[Any]) -> Matrix:
        """The matrix of the raw values, one row each; a row of one value does not depend on the others."""

    def fit_transform(self, raw: Sequence[Any], rows: Sequence[int] | None = None) -> Matrix:
        """Learn from raw values, or from the positions `rows` of them only, and return the matrix of all."""
        return self.fit(raw if rows is None else [raw[i] for i in rows]).transform(raw)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted extractor as a folder (extractor.json, arrays.safetensors), whole or not at all.

        Replaces an extractor that is there; raises ValueError for a folder that holds anything else.
        """
        self._check_fitted()
        with written_whole(folder, marker=EXTRACTOR) as temporary:
            self.write(temporary)

    def write(self, folder: Path) -> None:
        """Write the extractor's files into an existing folder."""
        from modalhash import __version__

        params = {field.name: getattr(self, field.name) for field in fields(self)}
        state = {key: getattr(self, key) for key in self.learned}
        write_state(folder, EXTRACTOR, {"class": type(self).__name__, "version": __version__, "params": params}, state)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read an extractor of this class; ValueError names the file if it is damaged or of another class."""
        path = Path(folder) / EXTRACTOR
        header, state = read_state(Path(folder), EXTRACTOR)
        if header.get("class") != cls.__name__:
            raise ValueError(f"{path}: holds a {header.get('class')!r} extractor, not {cls.__name__!r}")
        try:
            params: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in header["params"].items()
            }
            extractor = cls(**params)
            vars(extractor).update({key: state[key] for key in cls.learned})
            extractor._check_parameters()
            extractor._check_learned()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: is damaged ({error!r})") from error
        return extractor

    def _check_parameters(self) -> None:  # noqa: B027 (optional)
        """Raise TypeError or ValueError for hyper-parameters that make no sense."""

    def _check_learned(self) -> None:  # noqa: B027 (optional)
        """Raise TypeError or ValueError if what was learned does not fit together."""

    def _check_fitted(self) -> None:
        if not all(hasattr(self, key) for key in self.learned):
            raise ValueError(f"{type(self).__name__}: is not fitted; call fit(raw) first")


def check_raw(raw: object, single: type | tuple[type, ...], what: str) -> None:
    """Raise TypeError where one value was given in place of a sequence of them, ValueError for none."""
    if isinstance(raw, single) or not hasattr(raw, "__len__") or not hasattr(raw, "__getitem__"):
        raise TypeError(f"expected a sequence of {what}, got {type(raw).__name__}")
    if len(raw) == 0:
        raise ValueError(f"expected at least one of {what}, got none")
