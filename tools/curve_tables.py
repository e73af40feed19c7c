"""Tables of quality as something is taken away, for tools/make_tables.py: views, tags, labels.

CURVES maps the name of a table to the function that makes its Markdown from the folder of results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cells import of_protocol
from speed_tables import markdown, read

from modalhash.evaluation.cards import check_one


def missing_views_text(results: Path) -> str:
    """mAP as queries lose views; then each system beside itself fitted on one view."""
    facts = read(results / "missing-views.json")
    lost = [row["lost"] for row in next(iter(facts["systems"].values()))["curve"]]
    rows = [
        [name, str(found["bits"]), *(f"{row['mean']:.3f} ± {row['sd']:.3f}" for row in found["curve"])]
        for name, found in facts["systems"].items()
    ]
    parts = [markdown(["system", "bits", *(f"{n} lost" for n in lost)], rows)]
    told = f"mAP over the full ranking, mean ± sd over {facts['draws']} draws of the lost views."
    parts.append(f"{told} {of_protocol('missing-views', facts['protocol'])} {of_data(facts)}")
    views = dict.fromkeys(view for found in facts["systems"].values() for view in found.get("singles", {}))
    if views:
        rows = [[name, *(beside(found["singles"].get(view)) for view in views)] for name, found in with_singles(facts)]
        lost_here = f"{facts['lost_beside_singles']} views lost, on the queries that still have the view"
        parts.append(f"*{lost_here}: all that is left | the view alone*")
        parts.append(markdown(["system", *views], rows))
    return "\n\n".join(parts)


def with_singles(facts: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The systems that were fitted on single views, too."""
    return [(name, found) for name, found in facts["systems"].items() if found.get("singles")]


def beside(pair: dict[str, float] | None) -> str:
    """Fused and single, or a dash where the system cannot do with that view."""
    return "—" if pair is None else f"{pair['fused']:.3f} \\| {pair['single']:.3f}"


def noisy_tags_text(results: Path) -> str:
    """mAP as tags go to the wrong pictures."""
    facts = read(results / "noisy-tags.json")
    shares = list(dict.fromkeys(row["share"] for row in facts["rows"]))
    found = {(row["system"], row["share"]): shown(row) for row in facts["rows"]}
    systems = dict.fromkeys(row["system"] for row in facts["rows"])
    rows = [[name, *(found.get((name, share), "…") for share in shares)] for name in systems]
    table = markdown(["system", *(f"{share:.0%} moved" for share in shares)], rows)
    told = f"mAP image → image over the full ranking, {facts['bits']} bits, mean ± sd over {facts['seeds']} seeds."
    return f"{table}\n\n{told} {of_protocol('noisy-tags', facts['protocol'])} {of_data(facts)}"


def partly_labelled_text(results: Path) -> str:
    """mAP as labels go, a table a data set."""
    facts = read(results / "partly-labelled.json")
    parts = []
    for name, found in facts["sets"].items():
        directions = list(found["rows"][0]["directions"])
        rows = [
            [row["system"], labels_left(row), *(shown(row["directions"][way]) for way in directions)]
            for row in found["rows"]
        ]
        parts.append(f"*{name}*\n\n{markdown(['system', 'labels', *directions], rows, left=2)}")
        told = f"mAP over the full ranking, {facts['bits']} bits, mean ± sd over {facts['seeds']} seeds."
        hashes = {way: [row["directions"][way]["protocol"] for row in found["rows"]] for way in directions}
        for way, used in hashes.items():
            check_one(f"partly-labelled, {name}, {way}", "protocol hash", used)
        protocols = ", ".join(f"`{used[0]}`" for used in hashes.values())
        parts.append(f"{told} Protocols {protocols}. {of_data({'data': name, **found})}")
    return "\n\n".join(parts)


def labels_left(row: dict[str, Any]) -> str:
    """Which labels a system saw."""
    return f"{row['ones']:.0%} of the ones" if row["ones"] < 1 else f"{row['share']:.0%} of the items"


def shown(found: dict[str, float]) -> str:
    """Mean ± sd."""
    return f"{found['mean']:.4f} ± {found['sd']:.4f}"


def of_data(facts: dict[str, Any]) -> str:
    """The data by name and checksum."""
    return f"Data {facts['data']}, {facts['checksum'][:12]}."


CURVES: dict[str, Callable[[Path], str]] = {
    "missing-views": missing_views_text,
    "noisy-tags": noisy_tags_text,
    "partly-labelled": partly_labelled_text,
}
