"""Explanations on Amazon Musical Instruments: `python benchmarks/explain.py [--budget 3600] [--quick]`.

The latest interaction of every user is left out: ranked among 99 others and among all, and its review is what an
explanation, written or quoted, is compared with.  A cell (system, seed) is a file in benchmarks/results/explain/ and
is not run again while it is there; delete it to run it again.  `tools/make_tables.py` makes the page.
--quick: the first users only, one seed, into a folder of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from explainers import EDCF_SETTINGS, ORDER, Told, tell
from numpy.typing import NDArray
from resume import run_missing

from modalhash.datasets.outside import data_file
from modalhash.datasets.ratings import Ratings, load_ratings
from modalhash.evaluation.rating_splits import RatingSplit, candidates, leave_one_out
from modalhash.evaluation.results import machine, versions
from modalhash.metrics.recommendation import recommendation
from modalhash.metrics.text import bleu, distinct, grounded, rouge, word_coverage
from modalhash.recommend.quotes import Quotes
from modalhash.recommend.sentences import split_sentences

RESULTS = Path(__file__).parent / "results" / "explain"
DATA, OTHERS, CUTS = "amazon_musical_instruments", 99, (1, 5, 10, 20)
SHOWN, SHOWN_SEED, SHOWN_SIGNS = 20, 1, 200  # pairs that the page shows: drawn once, by chance
Positions = NDArray[np.int64]


@dataclass
class Task:
    """What trains, and the pairs that are asked: one a user, with the review that was withheld."""

    source: Ratings
    split: RatingSplit
    quotes: Quotes
    users: Positions
    items: Positions
    drawn: Positions
    references: list[str]

    @property
    def reviews(self) -> Any:
        """Reviews of training pairs, by id."""
        kept = self.source.reviews.of(self.split.train) if self.source.reviews else None
        assert kept is not None and self.source.item_ids is not None
        return kept.users, self.source.item_ids[kept.items], kept.texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="CPU time after which no cell is begun")
    parser.add_argument("--quick", action="store_true", help="the first users, one seed")
    parser.add_argument("--only", help="the cells of these systems, separated by commas")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    folder = options.out or (RESULTS.with_name("explain-quick") if options.quick else RESULTS)
    source, checksum = load_data()
    task = make_task(first_users(source, 150) if options.quick else source)
    facts = {"data": DATA, "checksum": checksum, "settings": EDCF_SETTINGS, "protocol": protocol(task)}
    facts |= {"versions": versions(), "machine": machine()}
    only = options.only.split(",") if options.only else list(ORDER)
    wanted = (
        (folder / f"{name.replace(' ', '-')}-seed{seed}.json", {"system": name, "seed": seed})
        for name, seed in cells(options.quick)
        if name in only
    )
    run_missing(wanted, lambda system, seed: run_cell(task, system, seed), facts, options.budget)


def cells(quick: bool) -> list[tuple[str, int]]:
    """Systems and seeds, what matters most first."""
    return [(name, seed) for seed in range(1 if quick else 3) for name, seeds in ORDER.items() if seed < seeds]


def load_data() -> tuple[Ratings, str]:
    """The data and the checksum of its file."""
    import hashlib

    return load_ratings(DATA), hashlib.sha256(data_file(f"{DATA}.npz").read_bytes()).hexdigest()


def first_users(source: Ratings, n: int) -> Ratings:
    """The first users only, for a quick run."""
    import scipy.sparse as sp

    assert source.reviews is not None
    kept = source.reviews.some(source.reviews.users < n)
    return Ratings(name=source.name, ratings=sp.csr_array(source.ratings[:n]), item_ids=source.item_ids, reviews=kept)


def make_task(source: Ratings, others: int = OTHERS) -> Task:
    """The split, the candidates and the quotes; nothing of a withheld pair is among them."""
    reviews = source.reviews
    assert reviews is not None
    split = leave_one_out(source.ratings, seed=0, times=reviews.times_of(source.ratings))
    held = split.test.tocoo()
    users, items = held.row.astype(np.int64), held.col.astype(np.int64)
    written = {
        (u, i): text for u, i, text in zip(reviews.users.tolist(), reviews.items.tolist(), reviews.texts, strict=True)
    }
    quotes = Quotes(reviews.of(split.train).triple, *source.ratings.shape)
    drawn = candidates(source.ratings, users, items, n=others, seed=0)
    references = [written[pair] for pair in zip(users.tolist(), items.tolist(), strict=True)]
    return Task(source, split, quotes, users, items, drawn, references)


def protocol(task: Task) -> dict[str, Any]:
    """What was asked, in numbers and words."""
    return {
        "users": len(task.users),
        "items": int(task.source.ratings.shape[1]),
        "train": int(task.split.train.nnz),
        "test": "the latest interaction of every user; of one day: one by chance (seed 0)",
        "others": int(task.drawn.shape[1]) - 1,
        "references": sum(bool(text.strip()) for text in task.references),
        "without_sentence": sum(not task.quotes.candidates(u, i) for u, i in pairs(task)),
    }


def pairs(task: Task) -> list[tuple[int, int]]:
    return list(zip(task.users.tolist(), task.items.tolist(), strict=True))


def run_cell(task: Task, name: str, seed: int) -> dict[str, Any]:
    """All measures of one system."""
    told = tell(task, name, seed)
    content: dict[str, Any] = {"fit_cpu": round(told.seconds, 2), "told_cpu": round(told.told_seconds, 2)}
    content["parameters"] = told.parameters
    content["preference"] = None if told.distances is None else preference(task, told.distances)
    content["texts"] = {kind: text_measures(task, texts) for kind, texts in told.texts.items()}
    content["examples"] = examples(task, told)
    if told.listening:
        content["listening"] = told.listening
    return content


def preference(task: Task, D: Any) -> dict[str, dict[str, float]]:
    """HR and nDCG over 1 + 99 and over all items that the user has not rated in training; D: (users, items)."""
    D = np.asarray(D)
    first = np.zeros(task.drawn.shape, dtype=bool)
    first[:, 0] = True
    sampled = recommendation(D[task.users[:, None], task.drawn], first, cuts=CUTS)
    free = task.split.train[task.users].toarray() == 0
    whole = recommendation(D[task.users], task.split.test[task.users].toarray() != 0, cuts=CUTS, candidates=free)
    names = [f"{measure}@{cut}" for measure in ("HR", "nDCG") for cut in CUTS]
    return {
        kind: {name: round(r.mean[name], 4) for name in names} for kind, r in (("sampled", sampled), ("whole", whole))
    }


def text_measures(task: Task, texts: list[str]) -> dict[str, float | int | None]:
    """Measures of one text a pair against the withheld review; an empty text counts as one that is wrong."""
    asked = [n for n, reference in enumerate(task.references) if reference.strip()]
    said, references = [texts[n] for n in asked], [task.references[n] for n in asked]
    found: dict[str, float] = {name: float(values.mean()) for name, values in rouge(said, references).items()}
    found["BLEU"] = bleu(said, [[reference] for reference in references])
    found["BLEU sentences"] = bleu(said, [split_sentences(text) or [text] for text in references])
    told = [n for n, text in enumerate(texts) if text]
    own = [texts[n] for n in told]
    found |= {f"distinct-{n}": distinct(own, n) for n in (1, 2)}
    u, i = task.users[told].tolist(), task.items[told].tolist()
    sources = [[task.quotes.texts[r] for r in task.quotes.others(*pair)] for pair in zip(u, i, strict=True)]
    covered = word_coverage(own, sources)
    found |= {"covered": mean(covered == 1), "covered words": mean(covered)}
    sentences = [[s.text for s in task.quotes.candidates(*pair)] for pair in zip(u, i, strict=True)]
    found["grounded"] = mean(grounded(own, sentences))
    found |= {"explained": len(told) / len(texts), "words": mean(np.array([len(text.split()) for text in own]))}
    return {name: None if value != value else round(value, 4) for name, value in found.items()}


def mean(values: Any) -> float:
    return float(values.mean()) if len(values) else float("nan")


def examples(task: Task, told: Told) -> list[dict[str, Any]]:
    """What the page shows: the texts of pairs that were drawn once, by chance, from those with a review."""
    asked = np.array(
        [
            n
            for n, (text, pair) in enumerate(zip(task.references, pairs(task), strict=True))
            if text.strip() and task.quotes.candidates(*pair)
        ]
    )
    chosen = np.sort(np.random.default_rng(SHOWN_SEED).permutation(asked)[:SHOWN])
    rows = []
    for n in chosen.tolist():
        row = {"user": int(task.users[n]), "item": str(task.source.item_ids[task.items[n]])}  # type: ignore[index]
        row |= {"written_then": shortened(task.references[n])}
        row |= {kind: texts[n] for kind, texts in told.texts.items()} | {
            "source": told.sources[n] if told.sources else None
        }
        rows.append(row)
    return rows


def shortened(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_SIGNS else line[:SHOWN_SIGNS].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    main()
