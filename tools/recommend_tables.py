"""Tables of benchmarks/recommend.py for tools/make_tables.py: contenders, MDCF against its peers, two stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from speed_tables import markdown, read

SPEED_FILE = "speed.json"
PLANNED = 27  # 3 splits, 3 lengths, 3 settings
WARM = "one left out"
CEILING = "ridge → ALS"
Cells = list[dict[str, Any]]


def recommend_text(results: Path) -> str:
    """All tables of the folder `recommend`."""
    folder = results / "recommend"
    cells = [read(path) for path in sorted(folder.glob("bits*.json"))]
    check(folder, cells)
    groups: dict[tuple[str, int, int], Cells] = {}
    for cell in cells:
        for task in cell["tasks"]:
            groups.setdefault((task, cell["cell"]["kept"], cell["cell"]["bits"]), []).append(cell)
    order = sorted(groups, key=lambda key: (key[0], key[1], key[2]))
    parts = ["**MDCF against codes and real values of its peers**", against_text(groups, order)]
    lengths = {key[2] for key in order}
    shown = [key for key in order if key[2] == (32 if 32 in lengths else min(lengths))]
    parts += [contenders_text(key, groups[key]) for key in shown]
    parts += stages_text([cell for key in shown if key[0] == WARM for cell in groups[key]])
    parts += speed_text(folder / SPEED_FILE)
    if len(cells) < PLANNED:
        parts.append(
            f"Cut to keep the time: {PLANNED - len(cells)} of {PLANNED} cells (a length, split and kept ratings)."
        )
    return "\n\n".join([*parts, f"Data {cells[0]['data']}, {cells[0]['checksum'][:12]}."])


def check(folder: Path, cells: Cells) -> None:
    """ValueError without cells, or with cells of other data or other settings in one table."""
    if not cells:
        raise ValueError(f"{folder.name}: no result file; run benchmarks/recommend.py")
    for key in ("checksum", "settings"):
        if len({str(cell[key]) for cell in cells}) > 1:
            raise ValueError(f"{folder.name}: cells of more than one {key} in one table")


def title(key: tuple[str, int, int]) -> str:
    """The task in words."""
    task, kept, _ = key
    return task if task == WARM else f"{task}, {kept} kept"


def against_text(groups: dict[tuple[str, int, int], Cells], order: list[tuple[str, int, int]]) -> str:
    """For each task and length MDCF, the best hashing peer and the difference in nDCG@10 with its interval."""
    rows = []
    for key in order:
        cells = groups[key]
        names = [name for name, row in cells[0]["tasks"][key[0]]["rows"].items() if row["kind"] == "codes"]
        best = max(names, key=lambda name: mean(cells, key[0], name, "sampled", "nDCG@10"))
        own, peer, top = (mean(cells, key[0], name, "sampled", "nDCG@10") for name in ("MDCF", best, CEILING))
        rows.append(
            [title(key), str(key[2]), str(len(cells)), f"{own:.3f}", f"{best} {peer:.3f}"]
            + [difference(cells, key[0], best, kind) for kind in ("sampled", "whole")]
            + [f"{top:.3f} ({own - top:+.3f})"]
        )
    head = ["task", "bits", "splits", "MDCF", "best hashing peer", "difference, 1 + 99", "difference, catalogue"]
    note = (
        "nDCG@10 over 1 + 99 candidates, mean over the splits. Differences: mean, from the lowest to the highest bound "
        "of the splits' 95 % intervals (paired bootstrap, 1,000 draws of users; of films for cold items over 1 + 99)."
    )
    return markdown([*head, "real-valued ceiling"], rows) + "\n\n" + note


def mean(cells: Cells, task: str, name: str, kind: str, measure: str) -> float:
    """The mean over splits."""
    return float(np.mean([cell["tasks"][task]["rows"][name][kind][measure] for cell in cells]))


def difference(cells: Cells, task: str, peer: str, kind: str) -> str:
    """Mean [lowest bound, highest bound] of the splits."""
    found = np.array([cell["tasks"][task]["against"][peer][kind] for cell in cells])
    return f"{found[:, 0].mean():+.3f} [{found[:, 1].min():+.3f}, {found[:, 2].max():+.3f}]"


def contenders_text(key: tuple[str, int, int], cells: Cells) -> str:
    """One task: every contender with its measures."""
    task = key[0]
    rows = []
    for name in cells[0]["tasks"][task]["rows"]:
        own = [cell["tasks"][task]["rows"][name] for cell in cells if name in cell["tasks"][task]["rows"]]
        values = [mean_of([row["sampled"] for row in own], "HR@10"), spread(own)]
        values += [mean_of([row["whole"] for row in own], m) for m in ("HR@10", "nDCG@10", "R@10", "AP")]
        values += [mean_of(own, "coverage"), mean_of(own, "popularity", 2)]
        values.append(mean_of(own, "seconds", 1))
        shown = "ALS" if name == CEILING and task == WARM else name
        if len(own) < len(cells):
            shown += f" ({len(own)} of {len(cells)} splits)"
        rows.append([shown, "codes" if own[0]["kind"] != "real" else "real", *values])
    head = ["", "ranks by", "HR@10, 1 + 99", "nDCG@10, 1 + 99", "HR@10", "nDCG@10", "R@10", "MAP", "coverage"]
    tested = cells[0]["tested"][task]
    splits = f"{len(cells)} split{'s' * (len(cells) > 1)}"
    caption = f"*{title(key)}, {key[2]} bits, {splits} of {tested['users']} users, {tested['pairs']} pairs*"
    return f"{caption}\n\n{markdown([*head, 'popularity', 'fit CPU s'], rows, left=2)}"


def mean_of(rows: Cells, name: str, places: int = 3) -> str:
    """The mean over splits."""
    return f"{np.mean([row[name] for row in rows]):.{places}f}"


def spread(rows: Cells) -> str:
    """nDCG@10 over 1 + 99, mean ± sd."""
    values = [row["sampled"]["nDCG@10"] for row in rows]
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def stages_text(cells: Cells) -> list[str]:
    """Quality as more is recalled by codes; the last column ranks everything by factors."""
    if not cells:
        return []
    recalled = [row["recalled"] for row in cells[0]["two_stages"]]
    rows = [
        [measure, *(f"{np.mean([cell['two_stages'][i][measure] for cell in cells]):.3f}" for i in range(len(recalled)))]
        for measure in ("HR@10", "nDCG@10")
    ]
    head = ["films recalled by codes", *map(str, recalled[:-1]), f"all {recalled[-1]}"]
    caption = (
        f"*two stages: one left out, whole catalogue, {cells[0]['cell']['bits']} bits, MDCF's codes, then its factors*"
    )
    return [f"{caption}\n\n{markdown(head, rows)}"]


def speed_text(path: Path) -> list[str]:
    """Time of two stages on simulated items, if it was measured."""
    if not path.is_file():
        return []
    facts = read(path)
    every = facts["microseconds"]["all"]
    names = [name for name in facts["microseconds"] if name != "all"]
    rows = [
        ["CPU µs a user", *(f"{facts['microseconds'][name]:.0f}" for name in names), f"{every:.0f}"],
        ["times faster", *(f"{every / facts['microseconds'][name]:.1f}" for name in names), "1"],
    ]
    caption = f"*{facts['items']:,} simulated items, {facts['bits']} bits: recall by the index, rank again*"
    return [f"{caption}\n\n{markdown(['items recalled', *names, 'all products'], rows)}"]


RECOMMEND: dict[str, Callable[[Path], str]] = {"recommend": recommend_text}
