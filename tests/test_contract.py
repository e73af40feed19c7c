"""The contract suite over every system of the catalog."""

from __future__ import annotations

import numpy as np
import pytest

import contract_inputs
from contract import CHECKS, Check, Data, Labels
from modalhash.catalog import SYSTEMS, load, module_of, system


def problem(names: tuple[str, ...] = ()) -> tuple[Data, Labels]:
    """60 items of four classes (some carry two), in two views."""
    rng = np.random.default_rng(7)
    labels = np.eye(4)[np.arange(60) % 4]
    labels[::9, 0] = 1
    hidden = np.hstack([2 * labels, rng.standard_normal((60, 8))])
    views = {
        name: np.asarray(hidden @ rng.standard_normal((12, width)) + 0.3, dtype=np.float32)
        for name, width in zip(names or ("text", "image"), (13, 16), strict=True)
    }
    return views, labels


assert contract_inputs.__doc__  # imported so that its checks join the list


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SYSTEMS)
def test_contract(name: str, check: Check) -> None:
    check(system(name), *problem(system(name).named_views))


def test_unknown_systems_are_refused() -> None:
    for call in (system, module_of):
        with pytest.raises(ValueError, match="unknown system 'Nothing'"):
            call("Nothing")
    with pytest.raises(FileNotFoundError, match=r"model.json"):
        load("nowhere")
