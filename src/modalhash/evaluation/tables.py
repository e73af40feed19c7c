"""Tables as data: which systems, data sets, lengths, seeds and protocols, and what each cell of them is called."""

from __future__ import annotations

import hashlib
import json
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from modalhash.evaluation.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set by its name, the options of its loader, and what the tables call it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    @property
    def title(self) -> str:
        """The label, or the name and its options."""
        told = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return self.label or (f"{self.name} ({told})" if told else self.name)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fit measured under one protocol: system or variant x data x bits x seed x protocol.

    system: `ITQ:fac` is ITQ on the view fac alone, `ITQ@128` the first n_bits bits of nested codes of 128 bits,
    `LAGNH{k=1.0}` LAGNH with a parameter of its own.
    """

    system: str
    source: Source
    n_bits: int
    seed: int
    protocol: Protocol

    @property
    def parameters(self) -> dict[str, Any]:
        """What stands in braces after the system, values as Python writes them."""
        told = self.system.partition("{")[2].rstrip("}")
        return {name: literal_eval(value) for name, _, value in (one.partition("=") for one in told.split(";") if one)}

    @property
    def fit_key(self) -> tuple[str, str, int, int]:
        """Cells with equal keys share a fit."""
        return self.system, self.source.title, self.fitted_bits, self.seed

    @property
    def fitted_bits(self) -> int:
        """The length of the codes that are learned: n_bits, or the length that nested codes are cut from."""
        return int(self.system.partition("@")[2] or self.n_bits)

    @property
    def name(self) -> str:
        """The name of the result file without its ending: readable, and unique by the options and the protocol."""
        options = json.dumps(dict(self.source.options), sort_keys=True)
        mark = hashlib.sha256(options.encode()).hexdigest()[:6] if self.source.options else "plain"
        words = f"{self.source.name}-{mark}-{self.system}-{self.n_bits}-seed{self.seed}-{self.protocol.hash}"
        return re.sub(r"[^\w.-]", "_", words)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: its rows (data sets x systems), lengths, seeds, protocols, and the measure that it shows.

    published: whether figures of the text are shown beside ours, where there are any.
    Raises ValueError for two sources of one title, by which fits and pages tell them apart.
    """

    title: str
    sources: tuple[Source, ...]
    systems: tuple[str, ...]
    bits: tuple[int, ...]
    seeds: int
    protocols: tuple[Protocol, ...]
    measure: str = "AP"
    published: bool = False

    cut_order: ClassVar[str] = "rows, then lengths, then seeds"  # what a budget cuts first: the last rows of the table

    def __post_init__(self) -> None:
        titles = [source.title for source in self.sources]
        if len(set(titles)) < len(titles):
            raise ValueError(f"sources: expected a title of its own for each, got {', '.join(titles)}")

    def cells(self) -> Iterator[Cell]:
        """All cells in the order in which they run: row by row, then by length, then by seed, then by protocol."""
        for source in self.sources:
            for system in self.systems:
                for n_bits in self.bits:
                    for seed in range(self.seeds):
                        for protocol in self.protocols:
                            yield Cell(system=system, source=source, n_bits=n_bits, seed=seed, protocol=protocol)

    def as_dict(self) -> dict[str, Any]:
        """What a page needs to know of the table, as JSON values."""
        return {
            "title": self.title,
            "sources": [source.title for source in self.sources],
            "systems": list(self.systems),
            "bits": list(self.bits),
            "seeds": self.seeds,
            "kinds": [list(kind_of(protocol)) for protocol in self.protocols],
            "measure": self.measure,
            "published": self.published,
        }


def kind_of(protocol: Protocol) -> tuple[str, str]:
    """What tells the protocols of one table apart: who queries whom, and whose codes are searched."""
    return protocol.direction, protocol.database_codes


def both_ways(**fields: Any) -> tuple[Protocol, Protocol]:
    """The protocols image → text and text → image."""
    return (
        Protocol(query_views=("image",), database_views=("text",), **fields),
        Protocol(query_views=("text",), database_views=("image",), **fields),
    )


def same_view(**fields: Any) -> tuple[Protocol, Protocol]:
    """The protocols image → image and text → text."""
    return (
        Protocol(query_views=("image",), database_views=("image",), **fields),
        Protocol(query_views=("text",), database_views=("text",), **fields),
    )


def to_all_views(**fields: Any) -> tuple[Protocol, Protocol]:
    """The protocols image → all views and text → all views: the database holds fused codes."""
    return Protocol(query_views=("image",), **fields), Protocol(query_views=("text",), **fields)


CLIPART = Source(name="clipart", options={"fair": True}, label="Clipart (label words removed)")
FASHION = Source(
    name="fashion",
    options={"fair": True, "n_train": 5000, "n_database": 20000},
    label="Fashion (label words removed)",
)
DEEP = ("A2LH", "HMAH", "RDCMH", "CCAITQ", "DCSH", "CIRH")  # supervised with the best closed form, then unsupervised
DEEP_VARIANTS = (
    *("A2LH", "A2LH-K", "A2LH-M", "A2LH-B", "HMAH", *(f"HMAH-{i}" for i in range(1, 7))),
    *("RDCMH", "RDCMH-NW", "RDCMH-ND", "RDCMH-NS", "RDCMH-NJ", "CCAITQ"),
    *("DCSH", "DCSH-L", "DCSH-independent", "DCSH-unrotated", "DCSH-k_a=0", "DCSH-unscaled"),
    *("CIRH", "CIRH-ACR", "CIRH-ISR", "CIRH-CSA", "CIRH-MCGC", "CIRH-GCN", "CIRH-FUN", "CIRH-Sigmoid"),
)
FUSED = ("SMHOQA", "A2LH", "UMHOQA", "ITQ")
DIGITS = Source(name="uci_mfeat", label="UCI multiple features")
DIGIT_VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")
FUSED_VARIANTS = (
    *("SMHOQA", *(f"SMHOQA-{name}" for name in ("img", "txt", "con", "I", "II", "III", "IV"))),
    *("UMHOQA", *(f"UMHOQA-{name}" for name in ("img", "txt", "con", "I", "II"))),
    *("BSTH", *(f"BSTH-{name}" for name in ("T", "I", "FMLP", "SH", "NC", "PMLP", "SHARE"))),
)
TAGGED = Source(
    name="clipart", options={"fair": True, "views": ("image", "tags")}, label="Clipart, user tags (label words removed)"
)
SOCIAL_VARIANTS = (
    *("DSTDH", *(f"DSTDH-{name}" for name in ("L", "D", "I", "NT", "T", "R"))),
    *("LAGNH", *(f"LAGNH-{name}" for name in ("no-aux", "no-att", "only-Sv", "only-Sa"))),
    *(f"LAGNH-recons-{name}" for name in ("ZTZ", "feat", "S", "Sv")),
)


def with_settings(system: str, *settings: str) -> tuple[str, ...]:
    """A system, and itself with each of these settings."""
    return system, *(f"{system}{{{setting}}}" for setting in settings)


SETTINGS = (
    *with_settings("DCSH", "independence=1.0;balance=1.0", "gamma1=100.0;gamma2=100.0", "keep_parts=False"),
    *with_settings("CIRH", "cut=0.6", "batch_size=512", "function_learning_rate=0.0001"),
    *with_settings("HMAH", "learning_rate=0.0001"),
    *with_settings("RDCMH", "margin=0.0", "lam=1.0", "similarity='clipped'"),
    "CCAITQ",
)
FUSED_SETTINGS = (
    *with_settings("UMHOQA", "metric='dot'", "metric='hamming'", "weights='absolute'", "latent_dim=32"),
    *("UMHOQA{latent_dim=128}", "UMHOQA-I", "UMHOQA-II", "UMHOQA-con"),
    *with_settings("SMHOQA", "weights='printed'", "solver='alm'", "rotate=True"),
    "ITQ",
)
SOCIAL_SETTINGS = (
    *with_settings("LAGNH", "bandwidth=1.0", "k=1.0", "hide=0.0", "lambda1=100.0"),
    *with_settings("DSTDH", "rounds=1", "mu=0.01", "alpha=0.1", "start='random'"),
    "ITQ:image",
)
NESTED = ("A2LH", "A2LH@128", "ITQ", "ITQ@128")

TABLES = {
    "emoji": Table(
        title="Search across pictures and words on the shipped pack",
        sources=(Source(name="emoji", label="emoji"),),
        systems=("A2LH", "ACQH", "CCAITQ", "ITQ", "PCASign", "LSH"),
        bits=(16, 32, 64),
        seeds=3,
        protocols=both_ways(),
    ),
    "nested": Table(
        title="Nested bits: the first bits of one model of 128 bits (@128) beside models of each length",
        sources=(Source(name="emoji", label="Emoji"), CLIPART),
        systems=NESTED,
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=both_ways(),
    ),
    "wiki-acqh": Table(
        title="ACQH on wiki: mAP over the full ranking, learned and encoded database codes",
        sources=(Source(name="wiki", label="Wiki"),),
        systems=("ACQH",),
        bits=(8, 16, 32, 64, 128),
        seeds=5,
        protocols=(*both_ways(database_codes="learned"), *both_ways()),
        published=True,
    ),
    "crossmodal": Table(
        title="Cross-modal search: mAP over the full ranking, encoded database codes",
        sources=(
            Source(name="wiki", label="Wiki"),
            CLIPART,
            FASHION,
        ),
        systems=("A2LH", "ACQH", "CCAITQ", "ITQ", "PCASign", "LSH"),
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=both_ways(),
    ),
    "deep": Table(
        title="Deep systems across views: mAP over the full ranking, encoded database codes",
        sources=(CLIPART,),
        systems=DEEP,
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=(*both_ways(), *same_view(), *to_all_views()),
    ),
    "deep-fashion": Table(
        title="Deep systems across views, 5,000 training items: mAP over the full ranking, encoded database codes",
        sources=(FASHION,),
        systems=DEEP,
        bits=(32, 64),
        seeds=1,
        protocols=(*both_ways(), *same_view(), *to_all_views()),
    ),
    "deep-variants": Table(
        title="Variants of the cross-modal systems: mAP over the full ranking, encoded database codes",
        sources=(CLIPART,),
        systems=DEEP_VARIANTS,
        bits=(32,),
        seeds=3,
        protocols=(*both_ways(), *to_all_views()),
    ),
    "fused-digits": Table(
        title="Fused codes of six views of digits: mAP over the full ranking, all views against all views",
        sources=(DIGITS,),
        systems=(*FUSED, *(f"{name}:{view}" for name in ("SMHOQA", "ITQ") for view in DIGIT_VIEWS), "BSTH"),
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=(Protocol(),),
    ),
    "fused-clipart": Table(
        title="Fused codes of pictures and words: mAP over the full ranking, all views against all views",
        sources=(CLIPART,),
        systems=(*FUSED, *(f"{name}:{view}" for name in ("SMHOQA", "ITQ") for view in ("image", "text")), "BSTH"),
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=(Protocol(),),
    ),
    "fused-fashion": Table(
        title="Fused codes, 5,000 training items: mAP over the full ranking, all views against all views",
        sources=(FASHION,),
        systems=(*FUSED, *(f"{name}:{view}" for name in ("SMHOQA", "ITQ") for view in ("image", "text")), "BSTH"),
        bits=(32, 64),
        seeds=3,
        protocols=(Protocol(),),
    ),
    "fused-variants": Table(
        title="Variants of the fused systems: mAP over the full ranking, all views against all views",
        sources=(CLIPART,),
        systems=FUSED_VARIANTS,
        bits=(32,),
        seeds=3,
        protocols=(Protocol(),),
    ),
    "social": Table(
        title="Social images, learned with user tags, queried by picture: mAP over the full ranking, image → image",
        sources=(TAGGED,),
        systems=("DSTDH", "LAGNH", "ITQ:image", "PCASign:image", "LSH:image"),
        bits=(16, 32, 64, 128),
        seeds=3,
        protocols=(Protocol(query_views=("image",), database_views=("image",)),),
    ),
    "social-variants": Table(
        title="Variants of the social systems: mAP over the full ranking, image → image",
        sources=(TAGGED,),
        systems=SOCIAL_VARIANTS,
        bits=(32,),
        seeds=3,
        protocols=(Protocol(query_views=("image",), database_views=("image",)),),
    ),
    "settings": Table(
        title="What settings change: mAP of validation queries against the training items",
        sources=(Source(name="emoji", label="Emoji"), CLIPART),
        systems=SETTINGS,
        bits=(32,),
        seeds=1,
        protocols=both_ways(queries="validation"),
    ),
    "settings-fused": Table(
        title="What settings change: mAP of validation queries against the training items",
        sources=(DIGITS, CLIPART),
        systems=FUSED_SETTINGS,
        bits=(32,),
        seeds=3,
        protocols=(Protocol(queries="validation"),),
    ),
    "settings-bsth": Table(
        title="What settings change: mAP of validation queries against the training items",
        sources=(DIGITS, CLIPART),
        systems=with_settings("BSTH", "view_dropout=0.0", "adaptive=True", "dropout=0.5"),
        bits=(32,),
        seeds=1,
        protocols=(Protocol(queries="validation"),),
    ),
    "settings-social": Table(
        title="What settings change: mAP of validation queries against the training items, image → image",
        sources=(TAGGED,),
        systems=SOCIAL_SETTINGS,
        bits=(32,),
        seeds=3,
        protocols=(Protocol(query_views=("image",), database_views=("image",), queries="validation"),),
    ),
}
