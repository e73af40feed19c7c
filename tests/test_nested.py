"""Nested codes: every prefix is the code of a shorter model, and the bits stand in the order of what they add."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import contract
import contract_inputs
import modalhash as mh
from modalhash import nested
from modalhash.codes import BinaryCodes
from modalhash.datasets import planted
from modalhash.nested import alignment, block_ends, greedy_order, grown
from test_contract import problem

DATA = planted("multilabel", 90, 0)
VIEWS, LABELS = DATA.part("train"), DATA.part_labels("train")
SYSTEMS: dict[str, dict[str, Any]] = {"ITQ": {}, "A2LH": {"n_anchors": 12}}
assert contract_inputs.__doc__  # imported so that its checks join the list
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nested, "FIRST", 4)


def fitted(name: str, n_bits: int = 14, **params: Any) -> Any:
    system = getattr(mh, name)(n_bits=n_bits, random_state=0, **{"nested": True, **SYSTEMS[name], **params})
    return system.fit(VIEWS, LABELS if system.needs_labels else None)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("n_bits", [1, 4, 7, 8, 14])
def test_a_prefix_of_the_codes_is_the_code_of_the_shorter_model(name: str, n_bits: int, tmp_path: Path) -> None:
    whole = fitted(name)
    before = whole.encode(VIEWS).packed.copy()
    short = whole.prefix(n_bits)
    for views in (VIEWS, {"text": VIEWS["text"]}, DATA.part("query")):
        assert short.encode(views).n_bits == n_bits
        assert np.array_equal(short.encode(views).packed, whole.encode(views).prefix(n_bits).packed)
        assert np.array_equal(short.encode(views).signs(), whole.encode(views).signs()[:, :n_bits])
    assert np.array_equal(short.codes_.packed, whole.codes_.prefix(n_bits).packed)
    assert whole.n_bits == 14 and np.array_equal(whole.encode(VIEWS).packed, before)
    short.save(tmp_path / "short")
    assert np.array_equal(mh.load(tmp_path / "short").encode(VIEWS).packed, short.encode(VIEWS).packed)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_first_block_is_the_shorter_system_itself(name: str) -> None:
    nested_bits = fitted(name).prefix(4).encode(VIEWS).signs()
    alone = fitted(name, 4, nested=False).encode(VIEWS).signs()
    assert sorted(map(bytes, nested_bits.T.copy())) == sorted(map(bytes, alone.T.copy()))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_longer_nested_code_begins_with_the_shorter_one(name: str) -> None:
    assert np.array_equal(fitted(name, 8).encode(VIEWS).packed, fitted(name, 16).prefix(8).encode(VIEWS).packed)


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_nested_models_are_cut(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: bits have no order; fit with nested=True"):
        fitted(name, nested=False).prefix(4)
    with pytest.raises(ValueError, match="n_bits: expected an integer of from 1 to 14, got 15"):
        fitted(name).prefix(15)
    with pytest.raises(ValueError, match="not fitted"):
        getattr(mh, name)(nested=True).prefix(4)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: str(check.__name__))
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_contract_holds_with_nested_bits(name: str, check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(contract.SETTINGS, name, {"nested": True})
    check(getattr(mh, name), *problem())


def naive(bits: np.ndarray[Any, Any], X: np.ndarray[Any, Any], chosen: list[int]) -> float:
    """The alignment of chosen bits with the likeness of rows of X, every n x n matrix written out."""
    n = len(bits)
    H = np.eye(n) - 1 / n
    K = H @ sum(np.outer(bits[:, j], bits[:, j]) for j in chosen) @ H
    T = H @ X @ X.T @ H
    return float((K * T).sum() / np.linalg.norm(K)) if np.linalg.norm(K) > 1e-9 else -1.0


def test_every_next_bit_raises_the_alignment_most() -> None:
    X = RNG.standard_normal((40, 3))
    bits = np.where(X @ RNG.standard_normal((3, 6)) + RNG.standard_normal((40, 6)) >= 0, 1.0, -1.0)
    order = greedy_order(*alignment(BinaryCodes.from_signs(bits), lambda rows: X[rows]), count=6).tolist()
    assert sorted(order) == list(range(6))
    for length in range(1, 7):
        scores = {j: naive(bits, X, [*order[: length - 1], j]) for j in set(range(6)) - set(order[: length - 1])}
        assert scores[order[length - 1]] == pytest.approx(max(scores.values()))


def test_a_copy_of_a_bit_comes_late_and_a_constant_one_last() -> None:
    X = planted_labels()
    signs = X @ np.array([[1.0, 0], [0, 1]])
    bits = np.column_stack([np.ones(60), signs[:, 0], signs[:, 0], signs[:, 1]])
    order = greedy_order(*alignment(BinaryCodes.from_signs(bits), lambda rows: X[rows]), count=4).tolist()
    assert order[-1] == 0 and set(order[:2]) in ({1, 3}, {2, 3})


def planted_labels() -> np.ndarray[Any, Any]:
    rows = np.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    return np.tile(rows, (15, 1))


def test_alignment_counts_over_blocks_of_rows() -> None:
    X, bits = RNG.standard_normal((5000, 2)), RNG.standard_normal((5000, 3))
    gains, overlaps = alignment(BinaryCodes.from_signs(bits), lambda rows: X[rows])
    B = np.where(bits >= 0, 1.0, -1.0)
    B, Y = B - B.mean(axis=0), X - X.mean(axis=0)
    np.testing.assert_allclose(gains, ((Y.T @ B) ** 2).sum(axis=0))
    np.testing.assert_allclose(overlaps, (B.T @ B) ** 2)


def test_what_is_kept_stays_in_front() -> None:
    kept, learned, X = (RNG.standard_normal((30, n)) for n in (3, 7, 2))
    chosen = grown(kept, learned, lambda rows: X[rows]).tolist()
    assert chosen[:3] == [0, 1, 2] and len(chosen) == len(set(chosen)) == 7


def test_lengths_double() -> None:
    assert block_ends(3) == [3] and block_ends(4) == [4] and block_ends(20) == [4, 8, 16, 20]


def test_prefixes_of_codes_keep_the_pad_bits_clear() -> None:
    codes = BinaryCodes.from_signs(RNG.standard_normal((20, 21)))
    for n_bits in range(1, 22):
        short = codes.prefix(n_bits)
        assert np.array_equal(short.signs(), codes.signs()[:, :n_bits]) and not np.shares_memory(
            short.packed, codes.packed
        )
    for wrong in (0, 22, -1):
        with pytest.raises(ValueError, match="n_bits: expected an integer from 1 to 21"):
            codes.prefix(wrong)
    for kind in (True, 4.0, "4"):
        with pytest.raises(TypeError, match="n_bits: expected an integer"):
            codes.prefix(kind)  # type: ignore[arg-type]
