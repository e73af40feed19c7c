"""What every system promises, as functions `(system class, views, labels)` that a contributor can call.

`CHECKS` lists them; `test_contract.py` runs them over the whole catalog.  A system that cannot do a case says so
with a ValueError that names itself or the need.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import modalhash as mh
from modalhash.hasher import ConvergenceWarning, Hasher

Data = dict[str, Any]
Labels = NDArray[np.float64]
Check = Callable[[type[Hasher], Data, Labels], None]

BITS = 8
SETTINGS: dict[str, dict[str, Any]] = {  # parameters with which a slow system stays quick here
    "HMAH": {"encoder": (12, 8), "student": (12,), "discriminator": (6,), "epochs": 4, "student_epochs": 8},
    "CIRH": {"width": 12, "hidden": 12, "epochs": 4, "function_epochs": 8},
    "DCSH": {"hidden": (16,), "epochs": 2},
    "RDCMH": {"hidden": (16,), "epochs": 2},
    "BSTH": {"width": 6, "hidden": 12, "words_hidden": 12, "label_epochs": 4, "epochs": 2},
    "UMHOQA": {"latent_dim": BITS},  # the width of its queries and decoded codes
    "LAGNH": {"width": 12, "hidden": 16, "discriminator": (6,), "epochs": 4},
}
ITEM_ORDER_FREE = {"LSH", "PCASign", "ITQ", "CCAITQ", "SignEmbedding"}  # permuted items -> permuted codes
COLUMN_ORDER_FREE = {"PCASign", "ITQ", "CCAITQ"}
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def make(system: type[Hasher], **params: Any) -> Hasher:
    return system(**{"n_bits": BITS, "random_state": 0, **SETTINGS.get(system.__name__, {}), **params})


def fitted(system: type[Hasher], views: Data, labels: Labels | None, **params: Any) -> Hasher:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make(system, **params).fit(views, labels)


def values(codes: Any) -> NDArray[Any]:
    """Whatever a system returns (binary codes, quantised codes, float queries) as one (n, K) array."""
    if isinstance(codes, mh.BinaryCodes):
        return codes.signs()
    return np.asarray(codes.decode() if hasattr(codes, "decode") else codes)


def sizes(codes: Any) -> tuple[int, ...]:
    """What n_bits may mean: the length of a code, and for quantised codes of 16 words the bits of its indices."""
    length = int(values(codes).shape[1])
    return (length, 4 * len(codes.codebooks)) if hasattr(codes, "codebooks") else (length,)


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(values(found), values(expected))


def share_of_differences(found: Any, expected: Any) -> float:
    return float(np.mean(values(found) != values(expected)))


def assert_refused(call: Callable[[], Any], pattern: str, kinds: Any = ValueError) -> None:
    try:
        call()
    except kinds as error:
        assert re.search(pattern, str(error)), f"{error} does not say {pattern}"
    else:
        raise AssertionError(f"nothing was refused, expected a message with {pattern}")


def part(views: Data, rows: Any) -> Data:
    return {name: matrix[rows] for name, matrix in views.items()}


@check
def codes_are_learned_for_every_item(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    n = len(labels)
    assert len(vars(hasher)["codes_"]) == len(hasher.encode(views)) == n
    assert values(vars(hasher)["codes_"]).shape == (n, BITS)
    assert values(hasher.encode(views)).shape == values(hasher.encode_queries(views)).shape == (n, BITS)


@check
def bits_are_the_signs_of_outputs(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    assert hasher.has_outputs == (system.encode is Hasher.encode)
    if hasher.has_outputs:
        np.testing.assert_array_equal(hasher.outputs(views) >= 0, values(hasher.encode(views)) > 0)
    else:
        assert_refused(lambda: hasher.outputs(views), f"{system.__name__}.*signs", TypeError)


@check
def zero_becomes_plus_one(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    for zero in (0.0, -0.0):
        vars(hasher)["_project"] = lambda name, block, zero=zero: np.full((block.shape[0], BITS), zero)
        if system._project is Hasher._project:  # a system without a hash function of one view
            vars(hasher)["_fuse"] = lambda outputs, has, zero=zero: np.full(outputs.shape[1:], zero)
        codes = hasher.encode(views)
        if isinstance(codes, mh.BinaryCodes):
            assert (codes.signs() == 1).all()


@check
def one_item_gets_the_code_it_gets_among_many(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    many = {name: np.tile(matrix, (45, 1)) for name, matrix in views.items()}  # more than one block of rows
    for chosen in (many, *({name: many[name]} for name in system.encodes_from or many)):
        codes = values(hasher.encode(chosen))
        for i in (0, 7, len(codes) - 1):
            np.testing.assert_array_equal(values(hasher.encode(part(chosen, [i])))[0], codes[i])
        np.testing.assert_array_equal(codes[: len(labels)], codes[-len(labels) :])


@check
def same_seed_same_codes(system: type[Hasher], views: Data, labels: Labels) -> None:
    first, second = (fitted(system, views, labels, random_state=3) for _ in range(2))
    assert_same(first.encode(views), second.encode(views))
    assert_same(vars(first)["codes_"], vars(second)["codes_"])
    first.fit(views, labels)
    assert_same(first.encode(views), second.encode(views))
    fitted(system, views, labels, random_state=None)


@check
def fit_leaves_the_random_state_of_the_caller(system: type[Hasher], views: Data, labels: Labels) -> None:
    def state() -> tuple[Any, ...]:
        kept = np.random.get_state(legacy=False)  # noqa: NPY002 - the legacy state is what must not move
        torch = sys.modules.get("torch")
        tensor = None if torch is None else torch.random.get_rng_state().tolist()
        return repr(kept), random.getstate(), tensor

    before = state()
    fitted(system, views, labels).encode(views)
    fitted(system, views, labels, random_state=None)
    assert state() == before


@check
def a_saved_model_comes_back(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels)
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / name for name in ("first", "second", "third")]
        hasher.save(places[0])
        hasher.save(places[1])
        for loaded in (mh.load(places[0]), system.load(str(places[0]))):
            assert type(loaded) is system
            assert loaded.get_params() == hasher.get_params()
            assert {k for k in vars(loaded) if k.endswith("_")} == {k for k in vars(hasher) if k.endswith("_")}
            assert list(loaded.widths_.items()) == list(hasher.widths_.items())
            assert_same(loaded.encode(views), hasher.encode(views))
            assert_same(loaded.encode_queries(views), hasher.encode_queries(views))
            assert_same(vars(loaded)["codes_"], vars(hasher)["codes_"])
            loaded.save(places[2])
        files = [{path.name: path.read_bytes() for path in sorted(place.iterdir())} for place in places]
        assert set(files[0]) == {"model.json", "arrays.safetensors"}
        assert files[0] == files[1] == files[2]
        assert sorted(path.name for path in Path(folder).iterdir()) == ["first", "second", "third"]


@check
def numpy_parameters_are_saved(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = fitted(system, views, labels, n_bits=np.int64(BITS), random_state=np.uint8(4))
    with tempfile.TemporaryDirectory() as folder:
        hasher.save(Path(folder) / "model")
        assert mh.load(Path(folder) / "model").get_params() == hasher.get_params()


@check
def small_fits_work_or_say_what_they_need(system: type[Hasher], views: Data, labels: Labels) -> None:
    need = rf"{system.__name__}|n_bits|view|item|row|column|label"
    first = next(iter(views))
    cases: list[tuple[Data, Labels, int]] = [
        (part(views, slice(0, 1)), labels[:1], 2),
        (part(views, slice(0, 2)), labels[:2], 2),
        (part(views, slice(0, 3)), labels[:3], 1),
        ({first: views[first]}, labels, BITS),
        ({name: matrix[:, :1] for name, matrix in views.items()}, labels, 1),
        ({name: matrix[:, :1] for name, matrix in views.items()}, labels, 4),
        ({name: np.ones_like(matrix) for name, matrix in views.items()}, labels, 4),
        (views, np.ones((len(labels), 1)), 4),
        *((views, labels, n_bits) for n_bits in (1, 2, 3, 8, 31, 64, 129, 257)),
    ]
    for given, targets, n_bits in cases:
        try:
            hasher = fitted(system, given, targets, n_bits=n_bits)
        except ValueError as error:
            assert re.search(need, str(error)), f"{error} names neither the system nor the need"
        else:
            for codes in (vars(hasher)["codes_"], hasher.encode(given), hasher.encode(part(given, [0]))):
                assert n_bits in sizes(codes) and len(codes) in (len(targets), 1)


@check
def the_order_of_items_does_not_matter(system: type[Hasher], views: Data, labels: Labels) -> None:
    if system.__name__ not in ITEM_ORDER_FREE:
        return
    order = np.random.default_rng(1).permutation(len(labels))
    expected = fitted(system, views, labels).encode(views)
    found = fitted(system, part(views, order), labels[order]).encode(views)
    assert share_of_differences(found, expected) <= 0.02


@check
def the_order_of_columns_does_not_matter(system: type[Hasher], views: Data, labels: Labels) -> None:
    if system.__name__ not in COLUMN_ORDER_FREE:
        return
    shuffled = {name: matrix[:, ::-1] for name, matrix in views.items()}
    expected = fitted(system, views, labels).encode(views)
    assert share_of_differences(fitted(system, shuffled, labels).encode(shuffled), expected) <= 0.02


@check
def a_constant_view_adds_nothing_but_itself(system: type[Hasher], views: Data, labels: Labels) -> None:
    if system.named_views:
        return
    for value in (0.0, 0.1, 1e6 / 3):
        given = {**views, "flat": np.full((len(labels), 12), value)}
        hasher = fitted(system, given, labels)
        bits = values(hasher.encode(given))
        assert np.isfinite(bits).all()
        if system.__name__ != "SignEmbedding":  # whose bits are the columns themselves, against zero
            assert share_of_differences(bits, values(hasher.encode(views))) <= 0.02
        flat = values(hasher.encode({"flat": given["flat"]}))
        alone = values(hasher.encode({"flat": given["flat"][:1]}))
        np.testing.assert_array_equal(flat, np.repeat(alone, len(flat), axis=0))


@check
def parameters_work_as_in_scikit_learn(system: type[Hasher], views: Data, labels: Labels) -> None:
    from sklearn.base import clone

    hasher = fitted(system, views, labels)
    copy = clone(hasher)
    assert copy is not hasher and type(copy) is system and copy.get_params() == hasher.get_params()
    assert not [key for key in vars(copy) if key.endswith("_")]
    assert_same(copy.fit(views, labels).encode(views), hasher.encode(views))
    params = {**hasher.get_params(), "n_bits": 5}
    assert system().set_params(**params).get_params() == params
    assert_refused(lambda: hasher.set_params(nothing=1), "nothing")


@check
def nothing_works_before_fit(system: type[Hasher], views: Data, labels: Labels) -> None:
    hasher = make(system)
    assert_refused(lambda: hasher.encode(views), f"{system.__name__}.*not fitted")
    assert_refused(lambda: hasher.encode_queries(views), f"{system.__name__}.*not fitted")
    with tempfile.TemporaryDirectory() as folder:
        assert_refused(lambda: hasher.save(Path(folder) / "model"), "not fitted")
        assert not list(Path(folder).iterdir())


@check
def a_failed_fit_leaves_no_model(system: type[Hasher], views: Data, labels: Labels) -> None:
    class Broken(system):  # type: ignore[valid-type,misc]
        def encode(self, given: Any) -> Any:
            if "codes_" not in vars(self):
                raise KeyboardInterrupt
            return super().encode(given)

        def _fit(self, given: Any, targets: Any) -> None:
            super()._fit(given, targets)
            raise KeyboardInterrupt

    hasher = Broken(**make(system).get_params())
    assert_refused(lambda: hasher.fit(views, labels), "", KeyboardInterrupt)
    assert_refused(lambda: Hasher.encode(hasher, views), "not fitted")


@check
def wrong_n_bits_is_refused(system: type[Hasher], views: Data, labels: Labels) -> None:
    cases: dict[str, list[Any]] = {"n_bits": [True, 8.0, "8", None, 0, -8], "random_state": [-1, 1.5, "x"]}
    for name, given in cases.items():
        for wrong in given:
            assert_refused(partial(fitted, system, views, labels, **{name: wrong}), name, (TypeError, ValueError))


@check
def a_switch_is_true_or_false(system: type[Hasher], views: Data, labels: Labels) -> None:
    for name, value in make(system).get_params().items():
        if isinstance(value, bool):  # the command line hands over what is no JSON as a text
            for wrong in ("no", "", 2, None):
                assert_refused(partial(fitted, system, views, labels, **{name: wrong}), f"^{name}", TypeError)


@check
def an_unknown_device_is_refused(system: type[Hasher], views: Data, labels: Labels) -> None:
    if "device" in make(system).get_params():
        assert_refused(partial(fitted, system, views, labels, device="nowhere"), "^device: 'nowhere'")


@check
def a_batch_is_computed_on_the_device(system: type[Hasher], views: Data, labels: Labels) -> None:
    if "device" in make(system).get_params():  # "meta" has no values: a fit gets as far as the first loss, all on it
        refused = r"Tensor\.item\(\) cannot be called on meta tensors"
        assert_refused(partial(fitted, system, views, labels, device="meta"), refused, RuntimeError)


@check
def a_system_says_what_it_is(system: type[Hasher], views: Data, labels: Labels) -> None:
    assert system.summary and system.__doc__ and system.__name__ in mh.__all__
    module = sys.modules[system.__module__]
    assert module.__doc__ and len(module.__doc__.splitlines()[0]) < 120
