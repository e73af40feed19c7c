"""Two stages for benchmarks/recommend.py: what is lost and what is won as more candidates are recalled by codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from films import Task
from timing import medians, take_turns

from modalhash.codes import BinaryCodes
from modalhash.index import Index
from modalhash.recommend.mdcf import MDCF
from modalhash.recommend.two_stage import rank_again, recall_then_rank
from modalhash.views import blocks

RECALLED = (10, 50, 100, 200, 500)
LIST = 10
SIMULATED, ASKED, BITS = 200_000, 200, 32
AT_ONCE = 64  # queries of one product


def curve(model: MDCF, task: Task) -> list[dict[str, Any]]:
    """HR@10 and nDCG@10 of the whole catalogue for each number of recalled items; the last is all of them."""
    users, gone = task.rows, [np.flatnonzero(~allowed) for allowed in task.allowed]
    queries = model.user_codes_[users], model.user_factors_[users]
    items = model.item_codes_, model.item_factors_
    found = []
    for recalled in (*[k for k in RECALLED if k < len(task.catalogue)], len(task.catalogue)):
        positions = recall_then_rank(queries, items, LIST, recalled, gone)[0]
        hits = np.take_along_axis(task.relevant, positions, axis=1)
        gain = (hits / np.log2(np.arange(2, 2 + hits.shape[1]))).sum(axis=1)
        row = {"recalled": recalled, "HR@10": round(float(hits.any(axis=1).mean()), 4)}
        found.append(row | {"nDCG@10": round(float(gain.mean()), 4)})  # one film a user is relevant
    return found


def speed(n: int = SIMULATED, asked: int = ASKED, bits: int = BITS, rounds: int = 5) -> dict[str, Any]:
    """CPU microseconds a user over simulated items: recall by the index of codes and rank again, or all products."""
    rng = np.random.default_rng(0)
    factors, users = (rng.standard_normal((size, bits)).astype(np.float32) for size in (n, asked))
    index, queries = Index.build(BinaryCodes.from_signs(factors)), BinaryCodes.from_signs(users)
    turns: dict[str, Any] = {"all": (lambda: best_products(users, factors, LIST), asked)}
    for recalled in RECALLED:
        turns[str(recalled)] = (lambda k=recalled: in_stages(index, queries, users, factors, k)), asked
    for call, _ in turns.values():
        call()
    seconds = medians(take_turns(turns, rounds))
    return {
        "items": n,
        "users": asked,
        "bits": bits,
        "microseconds": {name: round(1e6 * value, 1) for name, value in seconds.items()},
    }


def in_stages(index: Any, queries: BinaryCodes, users: Any, factors: Any, recalled: int) -> Any:
    """Positions of the list of every user, through the index."""
    return rank_again(users, factors, np.sort(index.search(queries, recalled).ids, axis=1), LIST)[0]


def best_products(users: Any, factors: Any, k: int) -> Any:
    """Positions of the k largest products of every user."""
    found = []
    for rows in blocks(len(users), AT_ONCE):
        scores = -(users[rows] @ factors.T)
        nearest = np.argpartition(scores, k, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(scores, nearest, 1), axis=1)
        found.append(np.take_along_axis(nearest, order, 1))
    return np.vstack(found)
