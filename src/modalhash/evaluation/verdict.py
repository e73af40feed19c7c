"""The verdict of a comparison: rules that turn rows into `train`, `do not train` or `not settled`, and a sentence.

A contest is a direction and a budget of bytes an item, once with codes alone and once with floats kept for rescoring.
In each, the best learned row and the best row without training are chosen on validation queries among those that fit
the budget, and their difference is measured on the test queries, with a paired bootstrap interval over queries:

- `do not train` if the upper bound stays below the margin: training gains less than that, or loses;
- `train` if the lower bound is above 0;
- `not settled` otherwise.

With floats kept the budget is the bytes of the code and of the float, and the floats themselves compete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modalhash.evaluation.bootstrap import Interval, paired_bootstrap
from modalhash.evaluation.comparison_rows import Row

Answer = Literal["train", "do not train", "not settled"]
MARGIN = 0.01  # of the measure: less is not worth a training
HEADS = {"train": "Train.", "do not train": "Do not train.", "not settled": "Not settled."}


@dataclass(frozen=True, eq=False)
class Contest:
    """Who meets whom at a budget, and how it ends.

    bytes: of a code; kept: bytes of the floats that are kept besides, 0 for codes alone; learned, free: the chosen
    rows, None where nothing fits; short: the best training-free code with rescoring; flat: the float32 row of the
    direction; difference: learned - free on the queries.
    """

    direction: str
    measure: str
    bytes: float
    kept: float
    learned: Row | None
    free: Row | None
    short: Row | None
    flat: Row | None
    difference: Interval | None
    answer: Answer

    def keeps(self, row: Row | None) -> float | None:
        """The share of the floats' figure that a row reaches."""
        if row is None or self.flat is None or not self.flat.mean[self.measure] > 0:
            return None
        return row.mean[self.measure] / self.flat.mean[self.measure]

    def as_dict(self) -> dict[str, Any]:
        """The contest as JSON values."""
        told: dict[str, Any] = {"direction": self.direction, "measure": self.measure, "bytes": self.bytes}
        told |= {"floats_kept": self.kept > 0, "total_bytes": self.bytes + self.kept, "answer": self.answer}
        sides = {"learned": self.learned, "free": self.free, "rescored": self.short, "float": self.flat}
        for name, row in sides.items():
            told[name] = None if row is None else side(row, self.measure, self.keeps(row))
        between = self.difference
        bounds = () if between is None else (between.mean, between.low, between.high)
        told["difference"] = [round(value, 6) for value in bounds] or None
        return told


def side(row: Row, measure: str, keeps: float | None) -> dict[str, Any]:
    """One side of a contest as JSON values."""
    share = None if keeps is None else round(keeps, 6)
    told = {"system": row.system, "bits": row.bits, "rescored": row.rescored, "total_bytes": row.total_bytes}
    return told | {"value": round(row.mean[measure], 6), "keeps": share}


def contests(rows: Sequence[Row], measure: str, bits: Sequence[int], margin: float = MARGIN) -> list[Contest]:
    """Every direction and budget: the given lengths, and one bit a dimension where a float space exists."""
    found = []
    able = [row for row in rows if not row.refused and measure in row.mean and row.validation.get(measure) is not None]
    for direction in dict.fromkeys(row.direction for row in rows):
        own = [row for row in able if row.direction == direction]
        flat = next((row for row in own if row.family == "float"), None)
        budgets = {float(-(-n // 8)) for n in bits}
        budgets |= {row.bytes for row in own if row.bits is None and row.system == "sign" and row.bytes is not None}
        kinds = [0.0] if flat is None or flat.bytes is None else [0.0, flat.bytes]
        for kept in kinds:
            found += [contest(own, measure, budget, kept, margin) for budget in sorted(budgets)]
    return found


def contest(rows: Sequence[Row], measure: str, budget: float, kept: float, margin: float) -> Contest:
    """The best of both sides by validation among the rows that fit the budget, and their difference on the queries."""
    direction = rows[0].direction
    flat = next((row for row in rows if row.family == "float"), None)
    fitting = [row for row in rows if fits(row, budget, kept)]
    learned = best([row for row in fitting if row.family == "learned"], measure)
    free = best([row for row in fitting if row.family != "learned"], measure)
    between: Interval | None = None
    if learned is not None and free is not None:
        between = paired_bootstrap(learned.queries[measure], free.queries[measure])
    answer = answer_of(between, learned is not None, free is not None, margin)
    short = best([row for row in fitting if row.family == "training-free" and row.rescored], measure)
    return Contest(direction, measure, budget, kept, learned, free, short, flat, between, answer)


def fits(row: Row, budget: float, kept: float) -> bool:
    """Whether a row stays within the bytes of a code, or of a code and a float."""
    assert row.bytes is not None and row.total_bytes is not None
    return row.total_bytes <= budget + kept if kept else not row.rescored and row.bytes <= budget


def best(rows: Sequence[Row], measure: str) -> Row | None:
    """The row with the best mean over validation queries; the first of equals; None of none."""
    return max(rows, key=lambda row: row.validation[measure], default=None)


def answer_of(between: Interval | None, learned: bool, free: bool, margin: float) -> Answer:
    """The rules: see the module."""
    if between is None:
        return "train" if learned and not free else "do not train" if free and not learned else "not settled"
    if between.high < margin:
        return "do not train"
    return "train" if between.low > 0 else "not settled"


def sentence(found: Sequence[Contest], leaks: Sequence[Mapping[str, Any]] = ()) -> str:
    """The verdict in words: a head, then a clause for each direction, kind of memory and answer."""
    if not found:
        return "Not settled. Nothing was compared."
    answers = list(dict.fromkeys(one.answer for one in found))
    head = HEADS[answers[0]] if len(answers) == 1 else "It depends."
    groups: dict[tuple[str, bool, Answer], list[Contest]] = {}
    for one in found:
        groups.setdefault((one.direction, one.kept > 0, one.answer), []).append(one)
    parts = [head, *(clause(members) for members in groups.values())]
    if leaks:
        parts.append(f"The data leaks, so the figures may be too good: {'; '.join(leak['message'] for leak in leaks)}.")
    return " ".join(parts)


def clause(members: Sequence[Contest]) -> str:
    """Contests of one direction, kind of memory and answer; figures are those of the largest budget."""
    last = members[-1]
    *few, most = [f"{one.bytes:g}" for one in members]
    sizes = f"{', '.join(few)} and {most}" if few else most
    where = f"{last.direction}, {sizes} bytes an item"
    where += f" beside the float of {last.kept:g}" if last.kept else ", no floats kept"
    return f"{where}: {outcome(last)}."


def outcome(one: Contest) -> str:
    """How a contest ends, with its figures."""
    if one.free is None:
        return f"train {told(one, one.learned)}: nothing else fits" if one.learned else "not settled: nothing fits"
    if one.learned is None:
        return f"do not train: {instead(one, one.free)}; nothing learned fits"
    assert one.difference is not None
    gap = f"{one.difference.mean:+.3f} [{one.difference.low:+.3f}, {one.difference.high:+.3f}]"
    if one.answer == "train":
        return f"train {told(one, one.learned)}; {gap} over {told(one, one.free)}"
    if one.answer == "not settled":
        return f"not settled between {told(one, one.learned)} and {told(one, one.free)}: {gap}"
    return f"do not train: {instead(one, one.free)}; {told(one, one.learned)} differs by {gap}"


def instead(one: Contest, free: Row) -> str:
    """What does without training; beside the floats also the best code with rescoring."""
    share = one.keeps(one.short)
    if free.family != "float" or one.short is None or share is None:
        return told(one, free)
    return f"{told(one, free)}, of which {one.short.title} keeps {100 * share:.0f} %"


def told(one: Contest, row: Row) -> str:
    """A row with its figure and what it keeps of the floats."""
    share = one.keeps(row)
    figures = f"{one.measure} {row.mean[one.measure]:.3f}"
    if share is None or row.family == "float":
        return f"{row.title} ({figures})"
    return f"{row.title} ({figures}, {'keeps ' * (share <= 1)}{100 * share:.0f} % of float32)"
