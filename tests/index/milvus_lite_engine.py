"""milvus-lite 2.5.1 for tests: it asks setuptools for its version, which newer ones do not give."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.metadata import PackageNotFoundError, version

import pytest
from store_machine import INTEGERS

from modalhash.index.milvus_limits import LOST

LITE = "2.5.1"
IDS = [id_ for id_ in INTEGERS if id_ != LOST]  # what Milvus takes


def need_milvus_lite() -> None:
    """Skip unless pymilvus and the last milvus-lite with binary vectors are there."""
    pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'modalhash[milvus]'")
    try:
        found = version("milvus-lite")
    except PackageNotFoundError:
        found = "none"
    if found != LITE:
        pytest.skip(f"milvus-lite {LITE} is not installed (later ones have no binary vectors), found {found}")
    if "milvus_lite" not in sys.modules:
        stand_in = types.ModuleType("pkg_resources")
        vars(stand_in).update(DistributionNotFound=PackageNotFoundError, get_distribution=_distribution)
        with pytest.MonkeyPatch.context() as patch:  # not for longer: pytest itself looks for this module
            patch.setitem(sys.modules, "pkg_resources", stand_in)
            importlib.import_module("milvus_lite")


def _distribution(name: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(version=version(name.replace("_", "-")))
