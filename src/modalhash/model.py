"""What every fitted thing is: hyper-parameters by name, what fit learned, and a folder of plain files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from modalhash.folders import read_state, write_state, written_whole

MODEL = "model.json"


class ConvergenceWarning(UserWarning):
    """A fit stopped at `max_iter` while its objective was still falling."""


@dataclass(kw_only=True, eq=False)
class Model:
    """Hyper-parameters are fields, stored untouched; what `fit` learns ends in "_" and is saved with them."""

    n_bits: int = 64
    random_state: int | None = None
    verbose: bool = False

    @property
    def name(self) -> str:
        """The name of the system as it stands in the catalog."""
        return type(self).__name__

    # parameters, as scikit-learn's clone expects them
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Hyper-parameters by name; `deep` is accepted for scikit-learn and changes nothing."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Set hyper-parameters by name; ValueError names one that does not exist."""
        known = self.get_params()
        for key, value in params.items():
            if key not in known:
                raise ValueError(f"{self.name}: has no parameter {key!r}; it has {', '.join(known)}")
            setattr(self, key, value)
        return self

    def _check_parameters(self) -> None:
        check_integer("n_bits", self.n_bits, low=1)
        if self.random_state is not None:
            check_integer("random_state", self.random_state, low=0)
        for field in fields(self):
            if field.type == "bool" and getattr(self, field.name) not in (False, True):  # "no" would mean yes
                raise TypeError(f"{field.name}: expected True or False, got {getattr(self, field.name)!r}")

    def _forget(self) -> None:
        """Drop all that was learned."""
        for key in [key for key in vars(self) if key.endswith("_")]:
            delattr(self, key)

    def _check_fitted(self) -> None:
        if not hasattr(self, "widths_"):
            raise ValueError(f"{self.name}: is not fitted; call fit(views) first")

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.random_state)

    def _iterations(self, max_iter: int) -> Iterator[int]:
        """Iteration numbers from 0, shown as progress when `verbose` is set."""
        if not self.verbose:
            yield from range(max_iter)
            return
        from rich.console import Console
        from rich.progress import track

        # on stderr, and gone at the end: a fit that converges early would leave a bar that looks broken off
        console = Console(stderr=True)
        label, hidden = f"{self.name} {self.n_bits} bits", not console.is_terminal
        yield from track(range(max_iter), description=label, console=console, transient=True, disable=hidden)

    def _warn_not_converged(self, max_iter: int, tolerance: float) -> None:
        warnings.warn(
            f"{self.name}: the objective still fell by more than {tolerance:g} (relative) after {max_iter} iterations; "
            "raise max_iter or tolerance",
            ConvergenceWarning,
            stacklevel=4,
        )

    # folders
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted model as a folder of plain files (model.json, arrays.safetensors), whole or not at all.

        Replaces a model that is there; raises ValueError for a folder that holds anything else.
        """
        self._check_fitted()
        with written_whole(folder, marker=MODEL) as temporary:
            self.write(temporary)

    def write(self, folder: Path) -> None:
        """Write the model's files into an existing folder."""
        from modalhash import __version__

        params = self.get_params()
        for key, value in params.items():
            if isinstance(value, np.generic):
                params[key] = value.item()
            elif not isinstance(value, int | float | str | bool | tuple | None):
                raise ValueError(f"{self.name}: parameter {key} = {value!r} cannot be saved")
        state = {key: value for key, value in vars(self).items() if key.endswith("_")}
        write_state(folder, MODEL, {"class": self.name, "version": __version__, "params": params}, state)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a model of this class; ValueError names the file if it is damaged or of another class."""
        header, state = read_state(Path(folder), MODEL)
        if header.get("class") != cls.__name__:
            raise ValueError(f"{Path(folder) / MODEL}: holds a {header.get('class')!r} model, not {cls.__name__!r}")
        try:
            params: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in header["params"].items()
            }
            model = cls(**params)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{Path(folder) / MODEL}: holds no usable parameters ({error!r})") from error
        vars(model).update(state)
        return model


def check_integer(name: str, value: object, *, low: int, high: int | None = None) -> None:
    """Raise TypeError unless value is an integer (no bool), ValueError unless low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name}: expected an integer of {bounds}, got {value}")


def check_real(name: str, value: object, *, low: float, inclusive: bool = True) -> None:
    """Raise TypeError unless value is a finite real number, ValueError unless it is >= low (> low if not inclusive)."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    if not np.isfinite(value) or value < low or (value == low and not inclusive):
        raise ValueError(f"{name}: expected a number {'>=' if inclusive else '>'} {low}, got {value}")


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise ValueError unless value is one of the known names."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


def check_widths(name: str, value: object) -> None:
    """Raise TypeError unless value is a tuple of integers, ValueError unless each of them is at least 1."""
    if not isinstance(value, tuple):
        raise TypeError(f"{name}: expected a tuple of integers, got {value!r}")
    for width in value:
        check_integer(name, width, low=1)
