"""Multi-modal hash learning: compact codes for items that are seen through several views.

Public names are loaded when they are used, so that `import modalhash` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from modalhash import datasets as datasets
    from modalhash import metrics as metrics
    from modalhash.baselines.cca_itq import CCAITQ as CCAITQ
    from modalhash.baselines.itq import ITQ as ITQ
    from modalhash.baselines.lsh import LSH as LSH
    from modalhash.baselines.pca_sign import PCASign as PCASign
    from modalhash.baselines.sign_embedding import SignEmbedding as SignEmbedding
    from modalhash.catalog import load as load
    from modalhash.codes import BinaryCodes as BinaryCodes
    from modalhash.collection import Collection as Collection
    from modalhash.composite.bsth import BSTH as BSTH
    from modalhash.composite.smh_oqa import SMHOQA as SMHOQA
    from modalhash.composite.umh_oqa import UMHOQA as UMHOQA
    from modalhash.crossmodal.a2lh import A2LH as A2LH
    from modalhash.crossmodal.acqh import ACQH as ACQH
    from modalhash.crossmodal.cirh import CIRH as CIRH
    from modalhash.crossmodal.dcsh import DCSH as DCSH
    from modalhash.crossmodal.hmah import HMAH as HMAH
    from modalhash.crossmodal.rdcmh import RDCMH as RDCMH
    from modalhash.datasets import load_dataset as load_dataset
    from modalhash.evaluation.compare import Comparison as Comparison
    from modalhash.evaluation.compare import compare as compare
    from modalhash.grids import show as show
    from modalhash.index import Hits as Hits
    from modalhash.index import Index as Index
    from modalhash.index import Store as Store
    from modalhash.quantized import QuantizedCodes as QuantizedCodes
    from modalhash.recommend.edcf import EDCF as EDCF
    from modalhash.recommend.mdcf import MDCF as MDCF
    from modalhash.social.dstdh import DSTDH as DSTDH
    from modalhash.social.lagnh import LAGNH as LAGNH

_NAMES = {
    "A2LH": "crossmodal.a2lh",
    "ACQH": "crossmodal.acqh",
    "BSTH": "composite.bsth",
    "BinaryCodes": "codes",
    "CCAITQ": "baselines.cca_itq",
    "CIRH": "crossmodal.cirh",
    "Collection": "collection",
    "Comparison": "evaluation.compare",
    "DCSH": "crossmodal.dcsh",
    "DSTDH": "social.dstdh",
    "EDCF": "recommend.edcf",
    "HMAH": "crossmodal.hmah",
    "Hits": "index",
    "ITQ": "baselines.itq",
    "Index": "index",
    "LAGNH": "social.lagnh",
    "LSH": "baselines.lsh",
    "MDCF": "recommend.mdcf",
    "PCASign": "baselines.pca_sign",
    "QuantizedCodes": "quantized",
    "RDCMH": "crossmodal.rdcmh",
    "SMHOQA": "composite.smh_oqa",
    "SignEmbedding": "baselines.sign_embedding",
    "Store": "index",
    "UMHOQA": "composite.umh_oqa",
    "compare": "evaluation.compare",
    "load": "catalog",
    "load_dataset": "datasets",
    "show": "grids",
}
_MODULES = ("datasets", "metrics")
__all__ = ["__version__", *_NAMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"modalhash.{name}")
    if name in _NAMES:
        return getattr(import_module(f"modalhash.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'modalhash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
