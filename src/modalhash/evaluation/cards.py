"""Result cards: a system on a data set under a protocol, over its seeds, with all that is needed to read the figures.

A result file of one seed (`results.record`) is a card of one seed; cards of several seeds are put together from them.
The rows of a comparison (`modalhash compare`) are cards over seeds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.missing_views import missing_views
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.results import COMPARISON_FILE, TABLE_FILE, data_facts, measured, write_result
from modalhash.folders import FORMAT, read_json
from modalhash.hasher import Hasher
from modalhash.views import F64

Content = dict[str, Any]
LISTS = ("seeds", "measures", "curves", "health", "seconds", "missing_views", "versions", "machines", "warnings")


@dataclass(frozen=True, kw_only=True, eq=False)
class Card:
    """A system of one length on a data set under a protocol, over seeds.

    title: of the data set; data: name, checksum, split sizes, findings; parameters: without the seed; facts: counts of
    queries, of those left out, and the like.  A value a seed, in the order of `seeds`: measures (name -> values, None
    where a measure does not exist), curves and health (one object a seed, empty in old files), seconds,
    missing_views (a list of `Loss` as objects), versions, machines, warnings.  refused: why there are no figures.
    """

    system: str
    title: str
    n_bits: int
    data: Content
    protocol: Protocol
    parameters: Content
    bytes_per_item: float | None
    seeds: tuple[int | None, ...]
    measures: dict[str, list[float | None]]
    facts: Content = field(default_factory=dict)
    curves: list[Content] = field(default_factory=list)
    health: list[Content] = field(default_factory=list)
    seconds: list[Content] = field(default_factory=list)
    missing_views: list[list[Content]] = field(default_factory=list)
    versions: list[Content] = field(default_factory=list)
    machines: list[Content] = field(default_factory=list)
    warnings: list[list[str]] = field(default_factory=list)
    refused: str = ""

    def values(self, measure: str) -> F64:
        """The values of a measure over the seeds that have one."""
        return np.array([value for value in self.measures.get(measure, []) if value is not None])

    def mean(self, measure: str) -> float:
        """Mean over seeds, NaN without any."""
        values = self.values(measure)
        return float(values.mean()) if len(values) else float("nan")

    def sd(self, measure: str) -> float:
        """Standard deviation (n - 1) over seeds, 0 for one."""
        values = self.values(measure)
        return float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def curve(self, name: str) -> F64 | None:
        """The mean of a curve over seeds, None in old files."""
        found = [curves[name] for curves in self.curves if name in curves]
        return np.mean(found, axis=0) if found else None

    def health_of(self, *path: str) -> float | None:
        """The mean over seeds of a number of the codes' health, None where there is none."""
        found = []
        for facts in self.health:
            value: Any = facts
            for key in path:
                value = value.get(key) if isinstance(value, Mapping) else None
            found += [] if value is None else [value]
        return float(np.mean(found)) if found else None

    def took(self, *names: str) -> float | None:
        """The median over seeds of the first of these times that is known, in seconds."""
        for name in names:
            found = [seconds[name] for seconds in self.seconds if name in seconds]
            if found:
                return float(np.median(found))
        return None

    def as_dict(self) -> Content:
        """The card as one JSON object: everything above, and mean and sd beside the values of each measure."""
        summaries = {
            name: {"mean": _number(self.mean(name)), "sd": self.sd(name), "per_seed": values}
            for name, values in self.measures.items()
        }
        content: Content = {
            "format": FORMAT,
            "system": self.system,
            "title": self.title,
            "n_bits": self.n_bits,
            "bytes_per_item": self.bytes_per_item,
            "protocol": self.protocol.as_dict() | {"hash": self.protocol.hash},
            "data": self.data,
            "parameters": self.parameters,
            "facts": self.facts,
        }
        content |= {name: getattr(self, name) for name in LISTS} | {"seeds": list(self.seeds), "measures": summaries}
        return content | ({"refused": self.refused} if self.refused else {})

    @classmethod
    def from_dict(cls, content: Content) -> Card:
        """The card that `as_dict` wrote; ValueError names what is missing or does not fit."""
        try:
            own = {key: value for key, value in content.items() if key != "format"}
            measures = {name: list(found["per_seed"]) for name, found in own["measures"].items()}
            own |= {"measures": measures, "seeds": tuple(own["seeds"]), "protocol": checked_protocol(own["protocol"])}
            return cls(**own)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"is no result card ({error!r})") from error


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def checked_protocol(content: Content) -> Protocol:
    """The protocol of a file; ValueError if the hash in it is not its hash."""
    protocol = Protocol.from_dict(content)
    if content.get("hash") != protocol.hash:
        raise ValueError(f"the hash {content.get('hash')} is not that of its protocol, {protocol.hash}")
    return protocol


def read_cards(paths: Sequence[Path | str]) -> list[Card]:
    """Cards of files and folders (all their .json files but table.json), result files of one seed put together.

    Of the folder of a comparison only comparison.json is read.
    ValueError names a file that is no card, or two files that tell different figures for one seed of one card.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if path / COMPARISON_FILE in found:
            found = [path / COMPARISON_FILE]
        files += [file for file in found if file.name != TABLE_FILE]
    if not files:
        raise ValueError(f"no result cards in {', '.join(map(str, paths))}")
    singles = []
    for file in files:
        content = read_json(file)
        try:
            singles += [(file, card) for card in cards_of(content)]
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    return together(singles)


def cards_of(content: Content) -> list[Card]:
    """The cards of a file's content: a comparison has one a row, any other file is one."""
    if "contests" not in content:
        return [card_of(content)]
    try:
        return [card_of_row(row, content["facts"]) for row in content["rows"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no comparison whose rows are cards ({error!r})") from error


def card_of_row(row: Content, facts: Content) -> Card:
    """The card of a row; bytes an item are all that is kept, with the floats of rescoring; seconds are means."""
    way = row["direction"]
    protocol = facts["protocols"][f"{way}, query"]
    left_out = facts["left_out"].get(way, [0, 0])
    counts = {"n_queries": facts["split"]["query"] - left_out[0]}
    counts |= dict(zip(("queries_left_out", "items_left_out"), left_out, strict=True))
    data = {name: facts[name] for name in ("checksum", "items", "split")}
    seeds = range(row["seeds"] or 1)
    return Card(
        system=f"{row['system']} + rescoring" if row["rescored"] else row["system"],
        title=facts["data"],
        n_bits=row["bits"] or 0,
        data={"name": facts["data"], **data, "findings": [leak["message"] for leak in facts["leaks"]]},
        protocol=checked_protocol(protocol["fields"] | {"hash": protocol["hash"]}),
        parameters={"shortlist": facts["shortlist"]} if row["rescored"] else {},
        bytes_per_item=row["total_bytes"],
        seeds=tuple(seeds),
        measures={name: list(values) for name, values in row["per_seed"].items()},
        facts=counts | {"contender": row["system"], "bytes_of_code": row["bytes"], "floats": facts["spaces"][way]},
        seconds=[row["seconds"] for _ in seeds],
        versions=[facts["versions"] for _ in seeds],
        machines=[facts["machine"] for _ in seeds],
        refused=row["refused"],
    )


def card_of(content: Content) -> Card:
    """The card of a file's content: a card, or a result file of one seed."""
    if "measures" in content:
        return Card.from_dict(content)
    if "codes" in content:
        raise ValueError("is one run of a comparison: its cards are the rows of comparison.json, written at the end")
    try:
        cell, parameters = content.get("cell", {}), dict(content.get("parameters", {}))
        parameters.pop("random_state", None)
        counts = ("n_queries", "n_without_relevant", "queries_left_out", "items_left_out")
        return Card(
            system=cell.get("system", content["system"]),
            title=cell.get("source", content["data"]["name"]),
            n_bits=cell.get("n_bits", parameters.get("n_bits", 0)),
            data=content["data"],
            protocol=checked_protocol(content["protocol"]),
            parameters=parameters,
            bytes_per_item=content.get("bytes_per_item"),
            seeds=(content["seed"],),
            measures={name: [value] for name, value in content.get("mean", {}).items()},
            facts={name: content[name] for name in counts if name in content},
            refused=content.get("refused", ""),
            **{name: [content[name]] if name in content else [] for name in LISTS if name not in ONCE},
            machines=[content["machine"]] if "machine" in content else [],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no result card ({error!r})") from error


ONCE = ("seeds", "measures", "machines")


def together(singles: Iterable[tuple[Path, Card]]) -> list[Card]:
    """Cards that differ in nothing but the seed become one, in the order of the first; seeds ascend.

    A parameter that only one of two cards names (because it came with a later version) does not tell them apart.
    """
    groups: dict[tuple[Any, ...], list[dict[int | None, tuple[Path, Card]]]] = defaultdict(list)
    for file, card in singles:
        key = card.system, card.title, card.n_bits, card.data["checksum"], card.protocol.hash, bool(card.refused)
        known = next((seeds for seeds in groups[key] if same_parameters(next(iter(seeds.values()))[1], card)), None)
        if known is None:
            groups[key].append(known := {})
        for seed, single in zip(card.seeds, split_seeds(card), strict=True):
            first, other = known.setdefault(seed, (file, single))
            if other.measures != single.measures:
                named = f"{card.system}, {card.n_bits} bits, seed {seed}"
                raise ValueError(f"{named}: two files with other figures, {first} and {file}")
    return [merged(list(seeds.values())) for members in groups.values() for seeds in members]


def same_parameters(first: Card, second: Card) -> bool:
    """Whether the parameters that both name are equal."""
    shared = first.parameters.keys() & second.parameters.keys()
    return all(first.parameters[name] == second.parameters[name] for name in shared)


def split_seeds(card: Card) -> list[Card]:
    """A card for each seed."""
    if len(card.seeds) == 1:
        return [card]
    parts = []
    for i, seed in enumerate(card.seeds):
        own = {name: getattr(card, name) for name in Card.__dataclass_fields__} | {"seeds": (seed,)}
        own["measures"] = {name: [values[i]] for name, values in card.measures.items()}
        own |= {name: getattr(card, name)[i : i + 1] for name in LISTS if name not in ("seeds", "measures")}
        parts.append(Card(**own))
    return parts


def merged(found: Sequence[tuple[Path, Card]]) -> Card:
    """One card of cards that differ in the seed."""
    cards = [card for _, card in sorted(found, key=lambda pair: -1 if pair[1].seeds[0] is None else pair[1].seeds[0])]
    first = cards[0]
    names = dict.fromkeys(name for card in cards for name in card.measures)
    own = {name: getattr(first, name) for name in Card.__dataclass_fields__}
    own["seeds"] = tuple(card.seeds[0] for card in cards)
    own["measures"] = {name: [card.measures.get(name, [None])[0] for card in cards] for name in names}
    for name in LISTS:
        if name not in ("seeds", "measures"):
            own[name] = [value for card in cards for value in getattr(card, name)]
    return Card(**own)


def make_cards(hasher: Hasher, data: Dataset, folder: Path, protocols: Iterable[Protocol]) -> list[Path]:
    """Measure a fitted system under each protocol and write a card for each; returns their paths.

    A protocol whose queries have all of several views gets the curve of lost views, too.
    """
    facts, paths = data_facts(data), []
    for protocol in protocols:
        content = measured(hasher, data, protocol, {}, hasher.random_state, facts)
        if not protocol.query_views and len([name for name in hasher.widths_ if name in data.views]) > 1:
            content["missing_views"] = [asdict(loss) for loss in missing_views(hasher, data, protocol)]
        words = f"{data.name}-{hasher.name}-{hasher.n_bits}-seed{hasher.random_state}-{protocol.hash}"
        paths.append(folder / (re.sub(r"[^\w.-]", "_", words) + ".json"))
        write_result(paths[-1], content)
    return paths


def write_card(path: Path, card: Card) -> None:
    """Write a card as one JSON file, whole or not at all."""
    write_result(path, card.as_dict())


def tables_of(cards: Sequence[Card]) -> dict[tuple[str, str], list[Card]]:
    """Cards by table: title of the data, and who queries whom; ValueError where a table would mix protocols or data."""
    tables: dict[tuple[str, str], list[Card]] = defaultdict(list)
    for card in cards:
        learned = ", learned codes" if card.protocol.database_codes == "learned" else ""
        tables[card.title, card.protocol.direction + learned].append(card)
    for (title, way), members in tables.items():
        protocols = {card.protocol.hash: card.protocol.as_dict() for card in members}
        check_one(f"{title}, {way}", "protocol hash", protocols, difference(list(protocols.values())))
        check_one(f"{title}, {way}", "data checksum", (card.data["checksum"] for card in members))
    return dict(tables)


def check_one(table: str, what: str, found: Iterable[str], why: str = "") -> None:
    """ValueError that names them all unless a table has one protocol hash, one data checksum …"""
    names = sorted(set(found))
    if len(names) > 1:
        plural = what + ("es" if what.endswith("sh") else "s")
        raise ValueError(f"{table}: cells of {len(names)} {plural} in one table: {', '.join(names)}{why}")


def difference(protocols: Sequence[Content]) -> str:
    """In which fields protocols differ, as the end of a message."""
    fields = [name for name in protocols[0] if any(other[name] != protocols[0][name] for other in protocols)]
    return f" (they differ in {', '.join(fields)})" if fields else ""
