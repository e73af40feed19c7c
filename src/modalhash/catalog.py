"""The catalog: every system by its public name.  Adding a system = one file, one line here, one docs page."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modalhash.folders import read_json
from modalhash.hasher import MODEL, Hasher

if TYPE_CHECKING:
    from modalhash.recommend.recommender import Recommender

SYSTEMS = {
    "ACQH": "crossmodal.acqh",
    "A2LH": "crossmodal.a2lh",
    "HMAH": "crossmodal.hmah",
    "CIRH": "crossmodal.cirh",
    "DCSH": "crossmodal.dcsh",
    "RDCMH": "crossmodal.rdcmh",
    "BSTH": "composite.bsth",
    "SMHOQA": "composite.smh_oqa",
    "UMHOQA": "composite.umh_oqa",
    "LAGNH": "social.lagnh",
    "DSTDH": "social.dstdh",
    "LSH": "baselines.lsh",
    "PCASign": "baselines.pca_sign",
    "ITQ": "baselines.itq",
    "CCAITQ": "baselines.cca_itq",
    "SignEmbedding": "baselines.sign_embedding",
}
RECOMMENDERS = {"MDCF": "recommend.mdcf", "EDCF": "recommend.edcf"}


def module_of(name: str) -> ModuleType:
    """The module of a system; ValueError lists the known names."""
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {name!r}; known: {', '.join(SYSTEMS)}")
    return import_module(f"modalhash.{SYSTEMS[name]}")


def recommender(name: str) -> type[Recommender]:
    """The class of a recommender by its public name; ValueError lists the known names."""
    if name not in RECOMMENDERS:
        raise ValueError(f"unknown recommender {name!r}; known: {', '.join(RECOMMENDERS)}")
    found = getattr(import_module(f"modalhash.{RECOMMENDERS[name]}"), name)
    assert isinstance(found, type)
    return found


def system(name: str) -> type[Hasher]:
    """The class of a system by its public name; ValueError lists the known names."""
    found = getattr(module_of(name), name)
    assert isinstance(found, type) and issubclass(found, Hasher)
    return found


def make(name: str, **params: Any) -> Hasher:
    """An unfitted system by its name or the name of a variant; ValueError lists the known names and parameters."""
    for known in SYSTEMS:
        variants = getattr(module_of(known), "VARIANTS", {known: {}}) if name.startswith(known) else {}
        if name in variants:
            return system(known)().set_params(**{**variants[name], **params})
    known_names = ", ".join([*SYSTEMS, *RECOMMENDERS])
    raise ValueError(f"unknown system {name!r}; known: {known_names} (and their variants)")


def recommender_variants(name: str) -> dict[str, dict[str, Any]]:
    """The variants of a recommender, itself among them, with their parameters; ValueError lists the known names."""
    recommender(name)
    found: dict[str, dict[str, Any]] = getattr(import_module(f"modalhash.{RECOMMENDERS[name]}"), "VARIANTS", {})
    return {name: {}, **found}


def is_recommender(name: str) -> bool:
    """True for the name of a recommender or of one of its variants."""
    return any(name.startswith(known) and name in recommender_variants(known) for known in RECOMMENDERS)


def make_recommender(name: str, **params: Any) -> Recommender:
    """An unfitted recommender by its name or the name of a variant; ValueError lists the known names."""
    for known in RECOMMENDERS:
        variants = recommender_variants(known) if name.startswith(known) else {}
        if name in variants:
            made = recommender(known)()
            return made.set_params(**{**variants[name], **params})
    raise ValueError(f"unknown recommender {name!r}; known: {', '.join(RECOMMENDERS)} (and their variants)")


def load(folder: str | os.PathLike[str]) -> Any:
    """Read a fitted Hasher or Recommender from its folder; FileNotFoundError or ValueError name the file."""
    header = read_json(Path(folder) / MODEL)
    if header.get("class") in list(RECOMMENDERS):
        return recommender(header["class"]).load(folder)
    if header.get("class") not in list(SYSTEMS):
        raise ValueError(f"{Path(folder) / MODEL}: holds a model of an unknown class {header.get('class')!r}")
    return system(header["class"]).load(folder)
