"""Tables of benchmarks/explain.py for tools/make_tables.py: preference, texts, their truth, and examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from speed_tables import markdown, read

ORDER = (
    "EDCF", "EDCF_SR", "EDCF_SE", "EDCF_WA", "EDCF_EMW", "EDCF_FMW", "EDCF without reviews", "MDCF", "popularity",
    "NRT-like", "words in common", "LexRank", "most helpful review", "longest sentence", "usual words", "by chance",
)  # fmt: skip
PLANNED = 22
ROUGE = [f"ROUGE-{kind} {part}" for kind in ("1", "2", "L") for part in ("P", "R", "F1")]
NAMES = {"written": "written", "quoted": "quotes"}
Cells = list[dict[str, Any]]


def explain_text(results: Path) -> str:
    """All tables of the folder `explain`."""
    groups = read_cells(results / "explain")
    first = next(iter(groups.values()))[0]
    protocol, count = first["protocol"], sum(map(len, groups.values()))
    parts = [preference_text(groups), texts_text(groups), truth_text(groups)]
    asked = (
        f"{protocol['users']} users, {protocol['items']} items, {protocol['train']} training ratings with their "
        f"reviews. Tested on {protocol['test']}; {protocol['references']} of these reviews have words. Codes of "
        f"{first['settings']['n_bits']} bits. Data {first['data']}, {first['checksum'][:12]}."
    )
    cut = (
        [f"Cut to keep the time: {PLANNED - count} of {PLANNED} cells (a system and seed)."] if count < PLANNED else []
    )
    return "\n\n".join([*parts, *cut, asked])


def read_cells(folder: Path) -> dict[str, Cells]:
    """Cells by system in the order of the page; ValueError without cells, or of other data, protocol or settings."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    cells = [read(path) for path in sorted(folder.glob("*.json"))]
    if not cells:
        raise ValueError(f"{folder.name}: no result file; run benchmarks/explain.py")
    for key in ("checksum", "protocol", "settings"):
        if len({str(cell[key]) for cell in cells}) > 1:
            raise ValueError(f"{folder.name}: cells of more than one {key} in one table")
    unknown = {cell["cell"]["system"] for cell in cells} - set(ORDER)
    if unknown:
        raise ValueError(f"{folder.name}: unknown systems {', '.join(sorted(unknown))}")
    own = {name: [cell for cell in cells if cell["cell"]["system"] == name] for name in ORDER}
    return {name: members for name, members in own.items() if members}


def preference_text(groups: dict[str, Cells]) -> str:
    """Who ranks the withheld item how high."""
    others = next(iter(groups.values()))[0]["protocol"]["others"]
    rows = []
    for name, cells in groups.items():
        found = [cell["preference"] for cell in cells]
        if all(found):
            values = [
                value([one[kind][f"{measure}@{cut}"] for one in found])
                for kind in ("sampled", "whole")
                for measure, cut in (("HR", 5), ("HR", 10), ("nDCG", 10))
            ]
            rows.append([name, str(len(cells)), *values, seconds(cells, "fit_cpu")])
    head = [f"{m}, {kind}" for kind in (f"1 + {others}", "all items") for m in ("HR@5", "HR@10", "nDCG@10")]
    table = markdown(["", "seeds", *head, "fit CPU s"], rows)
    return f"*preference: the item of the latest interaction; HR is Accuracy; ties count by expectation*\n\n{table}"


def texts_text(groups: dict[str, Cells]) -> str:
    """ROUGE and BLEU against the withheld review."""
    rows = []
    for name, kind, found in told(groups):
        rows.append([name, kind, *(value([one[key] for one in found]) for key in ROUGE)])
        rows[-1] += [value([one[key] for one in found], 2) for key in ("BLEU", "BLEU sentences")]
    head = [name.removeprefix("ROUGE-") for name in ROUGE]
    note = (
        "*one text a pair against the review that the user wrote of the item: ROUGE-1, -2 and -L (precision, recall, "
        "F1; mean over pairs), BLEU of the whole corpus (0 to 100) against the review, and against its sentences*"
    )
    return f"{note}\n\n{markdown(['', 'text', *head, 'BLEU', 'BLEU, sentences'], rows, left=2)}"


def truth_text(groups: dict[str, Cells]) -> str:
    """Variety, and whether the item's reviews say it."""
    keys = ("distinct-1", "distinct-2", "covered words", "covered", "grounded", "explained")
    rows = []
    for name, kind, found in told(groups):
        values = [value([one[key] for one in found]) for key in keys]
        values += [value([one["words"] for one in found], 1), seconds(groups[name], "told_cpu")]
        rows.append([name, kind, *values])
    head = ["distinct-1", "distinct-2", "words covered", "all covered", "grounded", "explained", "words", "CPU s"]
    note = (
        "*variety and truth: distinct words and pairs of words; the share of a text's content words that stand in "
        "others' reviews of the item, and of texts of which all do; the share that is, sign by sign, a sentence of "
        "these reviews; of pairs that got a text; its mean length; the time of all texts*"
    )
    return f"{note}\n\n{markdown(['', 'text', *head], rows, left=2)}"


def told(groups: dict[str, Cells]) -> list[tuple[str, str, Cells]]:
    """System, kind of text, and its measures of every seed."""
    return [
        (name, NAMES[kind], [cell["texts"][kind] for cell in cells])
        for name, cells in groups.items()
        for kind in NAMES
        if all(kind in cell["texts"] for cell in cells)
    ]


def value(values: list[float | None], places: int = 3) -> str:
    """Mean over seeds, ± sd where there are several."""
    known = [one for one in values if one is not None]
    if not known:
        return "—"
    mean = f"{np.mean(known):.{places}f}"
    return f"{mean} ± {np.std(known, ddof=1):.{places}f}" if len(known) > 1 else mean


def seconds(cells: Cells, key: str) -> str:
    """Mean CPU seconds, empty where nothing was to be done."""
    mean = float(np.mean([cell[key] for cell in cells]))
    return f"{mean:.0f}" if mean >= 10 else (f"{mean:.1f}" if mean > 0 else "")


def writer_text(results: Path) -> str:
    """What the writer of EDCF hears of the codes, and how well it ranks quotes."""
    found = [cell["listening"] for cell in read_cells(results / "explain").get("EDCF", []) if "listening" in cell]
    if not found:
        raise FileNotFoundError("EDCF-seed0.json")
    nats, keys = found[0]["nats"], ("ROUGE-1 P", "ROUGE-1 F1", "words")
    rows = [
        [name, *(f"{row[key]:.3f}" for key in keys[:2]), f"{row['words']:.1f}"]
        for name, row in found[0]["ranked"].items()
    ]
    told = (
        f"The writer (seed 0) needs {nats['codes']:.4f} nats a word of the withheld reviews given the pair's codes, "
        f"and {nats['mean codes']:.4f} given the mean codes of everybody."
    )
    note = f"*the quote that comes first by each rule against the withheld review; {found[0]['pairs']} pairs*"
    return f"{told}\n\n{note}\n\n{markdown(['ranked by', *keys], rows)}"


def examples_text(results: Path) -> str:
    """The drawn pairs with what was written of the item afterwards, what EDCF wrote and what is quoted."""
    groups = read_cells(results / "explain")
    written, quoted = (groups[name][0]["examples"] if name in groups else [] for name in ("EDCF", "words in common"))
    parts = []
    for n, row in enumerate(quoted):
        lines = [f"**{n + 1}.** User {row['user']}, item {row['item']}", ""]
        if written:
            lines += [f"- written by EDCF: {cell(written[n]['written'])}"]
        lines += [f"- quoted: “{cell(row['quoted'])}” ({cell(row['source'])})"]
        lines += [f"- what the user wrote then (withheld): “{cell(row['written_then'])}”"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def cell(text: str) -> str:
    """A text in one line that Markdown shows as it is."""
    line = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#~" else sign for sign in line).replace("&", "&amp;")


def preference_alone(results: Path) -> str:
    """The first table of the folder `explain`."""
    return preference_text(read_cells(results / "explain"))


EXPLAIN: dict[str, Callable[[Path], str]] = {
    "explain": explain_text,
    "explain-preference": preference_alone,
    "explanations": examples_text,
    "explain-writer": writer_text,
}
