"""Fits from sums over blocks equal the fit of all rows; blocks are encoded once, whole, and in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash import distributed
from modalhash.composite.smh_oqa import VARIANTS as SMH_VARIANTS
from modalhash.crossmodal import a2lh_rows
from modalhash.crossmodal.a2lh import VARIANTS as A2LH_VARIANTS
from modalhash.datasets import planted
from modalhash.distributed import NpyBlocks, ParquetBlocks
from modalhash.views import blocks

pytestmark = pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")

N = 330


def views_and_labels(*, gaps: bool = False, n: int = N) -> tuple[dict[str, Any], Any]:
    data = planted("multilabel", n, 1)
    views = {name: np.asarray(matrix, dtype=np.float32) for name, matrix in data.views.items()}
    if gaps:
        views["image"][:110] = np.nan  # more than the first block
        views["text"][-20:] = np.nan
    return views, np.asarray(data.labels, dtype=np.int8)


def written(folder: Path, views: dict[str, Any], labels: Any, rows: int = 100) -> NpyBlocks:
    folder.mkdir(exist_ok=True)
    for name, array in {**views, "labels": labels}.items():
        np.save(folder / f"{name}.npy", array)
    return NpyBlocks({name: folder / f"{name}.npy" for name in views}, folder / "labels.npy", rows=rows)


def assert_equal_to_rounding(found: Any, wanted: Any, tolerance: float = 1e-7) -> None:
    np.testing.assert_array_equal(found.codes_.packed, wanted.codes_.packed)
    state = {name: value for name, value in vars(wanted).items() if name.endswith("_")}
    assert {name for name in vars(found) if name.endswith("_")} == set(state)
    for name, value in state.items():
        for key, part in (value if isinstance(value, dict) else {"": value}).items():
            if name != "codes_":
                other = vars(found)[name][key] if isinstance(value, dict) else vars(found)[name]
                scale = max(np.abs(np.asarray(part)).max(), 1e-300)
                np.testing.assert_allclose(
                    np.asarray(other) / scale, np.asarray(part) / scale, rtol=0, atol=tolerance, err_msg=name
                )


CASES = [("A2LH", {"ridge": 1.0, "max_iter": 1, **params}) for params in A2LH_VARIANTS.values()]
CASES += [("SMHOQA", params) for params in SMH_VARIANTS.values()]
CASES += [("SMHOQA", {"solver": "alm"}), ("SMHOQA", {"concatenate": True, "kernel": False})]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_a_fit_from_blocks_equals_the_fit_of_all_rows(
    name: str, params: dict[str, Any], gaps: bool, tmp_path: Path
) -> None:
    views, labels = views_and_labels(gaps=gaps and not params.get("only"))
    system = getattr(mh, name)
    settings = {"n_bits": 12, "random_state": 0, "n_anchors": 30, "max_iter": 4, **params}
    whole = system(**settings).fit(views, labels)
    parts = distributed.fit(system(**settings), written(tmp_path / "data", views, labels), scratch=tmp_path)
    assert_equal_to_rounding(parts, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]  # nothing is left behind


def test_the_same_blocks_give_the_same_bits_and_one_block_those_of_fit(tmp_path: Path) -> None:
    views, labels = views_and_labels(gaps=True)
    data = written(tmp_path / "data", views, labels)
    for system in (mh.A2LH, mh.SMHOQA):
        first, again = (distributed.fit(system(n_bits=12, random_state=0, max_iter=3), data) for _ in range(2))
        whole = system(n_bits=12, random_state=0, max_iter=3).fit(views, labels)
        one = written(tmp_path / "data", views, labels, rows=N)
        alone = distributed.fit(system(n_bits=12, random_state=0, max_iter=3), one)
        for a, b in ((first, again), (whole, alone)):
            np.testing.assert_array_equal(a.codes_.packed, b.codes_.packed)
            for name, W in a.functions_.items():
                np.testing.assert_array_equal(W, b.functions_[name])


def test_parts_of_one_block_of_rows_give_the_bits_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of 100 rows, and one machine that adds up 100 rows at a time, where rounding would grow."""
    views, labels = views_and_labels(gaps=True)
    parts = distributed.fit(mh.A2LH(n_bits=12, random_state=0), written(tmp_path / "data", views, labels))
    monkeypatch.setattr(a2lh_rows, "blocks", lambda n: blocks(n, 100))
    whole = mh.A2LH(n_bits=12, random_state=0).fit(views, labels)
    assert parts.objective_ == whole.objective_ and parts.view_weights_ == whole.view_weights_
    np.testing.assert_array_equal(parts.codes_.packed, whole.codes_.packed)
    for name, W in whole.functions_.items():
        np.testing.assert_array_equal(parts.functions_[name], W)


def test_classes_are_those_of_all_blocks(tmp_path: Path) -> None:
    views, _ = views_and_labels()
    classes = np.sort(np.random.default_rng(0).integers(0, 5, N)) * 3  # the first block knows only some of them
    whole = mh.SMHOQA(n_bits=12, random_state=0, max_iter=3).fit(views, classes)
    parts = distributed.fit(mh.SMHOQA(n_bits=12, random_state=0, max_iter=3), written(tmp_path, views, classes))
    assert_equal_to_rounding(parts, whole)


# what is refused
def test_bad_data_is_refused_by_name(tmp_path: Path) -> None:
    views, labels = views_and_labels()
    data = written(tmp_path, views, labels)
    with pytest.raises(TypeError, match="ITQ: is not fitted from sums over rows; A2LH and SMHOQA are"):
        distributed.fit(mh.ITQ(), data)
    with pytest.raises(ValueError, match="needs labels, and the files have none"):
        distributed.fit(mh.A2LH(), NpyBlocks({"image": tmp_path / "image.npy"}))
    with pytest.raises(ValueError, match=r"equally many items, got .*'labels': 30"):
        NpyBlocks({"image": tmp_path / "image.npy"}, saved(tmp_path / "few.npy", labels[:30]))
    with pytest.raises(ValueError, match="labels: hold no 1 at all"):
        distributed.fit(mh.A2LH(), written(tmp_path, views, 0 * labels))
    with pytest.raises(ValueError, match="labels of block 1: expected only 0 and 1"):
        distributed.fit(mh.A2LH(), written(tmp_path, views, np.arange(N)[:, None] // 100 * 2))
    gone = {**views, "text": np.full_like(views["text"], np.nan)}
    with pytest.raises(ValueError, match="view 'text': every row is missing"):
        distributed.fit(mh.A2LH(), written(tmp_path, gone, labels))
    broken = {**views, "text": views["text"].copy()}
    broken["text"][207, 1] = np.inf
    with pytest.raises(ValueError, match="view 'text': row 7 holds an infinity"):
        distributed.fit(mh.A2LH(), written(tmp_path, broken, labels))
    with pytest.raises(TypeError, match=r"workers: expected an integer, got 1\.5"):
        distributed.fit(mh.A2LH(), data, workers=1.5)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"nothing\.npy: not found"):
        NpyBlocks({"image": tmp_path / "nothing.npy"})
    with pytest.raises(ValueError, match="rows: expected at least 1"):
        NpyBlocks({"image": tmp_path / "image.npy"}, rows=0)


def test_a_fit_that_fails_leaves_no_half_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = mh.A2LH(n_bits=12, random_state=0)
    monkeypatch.setattr(a2lh_rows.LabelledRows, "settle", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        distributed.fit(hasher, written(tmp_path, *views_and_labels()))
    assert not [name for name in vars(hasher) if name.endswith("_")]


# encoding
def saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("name", ["A2LH", "ITQ", "ACQH"])
def test_blocks_are_encoded_in_order_and_once(name: str, tmp_path: Path) -> None:
    views, labels = views_and_labels(gaps=name == "A2LH")
    hasher = getattr(mh, name)(n_bits=8, random_state=0, max_iter=3)
    hasher.fit(views, labels if hasher.needs_labels else None)
    items, out, wanted = written(tmp_path / "data", views, labels), tmp_path / "codes", hasher.encode(views)
    assert distributed.encode(hasher, items, out) == 4 and distributed.encode(hasher, items, out) == 0
    found = distributed.read_codes(out)
    assert type(found) is type(wanted)
    np.testing.assert_array_equal(distributed.stored(found), distributed.stored(wanted))
    np.testing.assert_array_equal(
        distributed.stored(distributed.read_codes(out, 2)), distributed.stored(wanted)[200:300]
    )


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, labels = views_and_labels()
    hasher = mh.ITQ(n_bits=8, random_state=0).fit(views)
    items, out, calls = written(tmp_path / "data", views, labels), tmp_path / "codes", []
    encode = mh.ITQ.encode

    def stopping(self: mh.ITQ, block: Any) -> Any:
        calls.append(len(block["image"]))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encode(self, block)

    monkeypatch.setattr(mh.ITQ, "encode", stopping)
    with pytest.raises(KeyboardInterrupt):
        distributed.encode(hasher, items, out)
    monkeypatch.undo()
    assert sorted(path.name for path in out.iterdir()) == ["000000.npy", "000001.npy", "codes.json"]
    with pytest.raises(ValueError, match=r"000002\.npy: is not there or damaged; call encode again"):
        distributed.read_codes(out)
    (out / "000000.npy").write_bytes((out / "000000.npy").read_bytes()[:-1])  # cut short by a power failure
    saved(out / "000001.npy", np.zeros((3, 1), dtype=np.uint8))
    (out / ".000003.npy-x.tmp").touch()
    assert distributed.encode(hasher, items, out) == 4
    np.testing.assert_array_equal(distributed.stored(distributed.read_codes(out)), hasher.encode(views).packed)
    assert not list(out.glob(".*"))


def test_codes_of_another_run_are_not_mixed(tmp_path: Path) -> None:
    views, labels = views_and_labels()
    items, out = written(tmp_path / "data", views, labels), tmp_path / "codes"
    distributed.encode(mh.ITQ(n_bits=8, random_state=0).fit(views), items, out)
    with pytest.raises(ValueError, match=r"codes of another run \(model differ\)"):
        distributed.encode(mh.ITQ(n_bits=8, random_state=1).fit(views), items, out)
    (tmp_path / "mine").mkdir()
    saved(tmp_path / "mine/file.npy", labels)
    with pytest.raises(ValueError, match=r"holds other files \(no codes\.json\)"):
        distributed.encode(mh.ITQ(n_bits=8, random_state=0).fit(views), items, tmp_path / "mine")
    with pytest.raises(ValueError, match="is not fitted"):
        distributed.encode(mh.ITQ(), items, out)


# files
def test_files_of_a_view_follow_one_another_and_may_be_cut_elsewhere(tmp_path: Path) -> None:
    views, _ = views_and_labels()
    image = [saved(tmp_path / f"{i}.npy", part) for i, part in enumerate(np.split(views["image"], [10, 110, 111]))]
    items = NpyBlocks({"image": image, "text": saved(tmp_path / "text.npy", views["text"])}, rows=50)
    assert items.n == N and len(items) == 7 and items.sizes == [50] * 6 + [30]
    for i, start in enumerate(range(0, N, 50)):
        for name, matrix in views.items():
            np.testing.assert_array_equal(items.views(i)[name], matrix[start : start + 50])
    with pytest.raises(ValueError, match=r"view 'image': expected .* one width in every file"):
        NpyBlocks({"image": [image[0], saved(tmp_path / "odd.npy", np.ones((3, 2)))]})
    (tmp_path / "bad.npy").write_text("no array")
    with pytest.raises(ValueError, match=r"bad\.npy: is not a readable"):
        NpyBlocks({"image": tmp_path / "bad.npy"})


def test_parquet_gives_what_arrays_give(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    views, labels = views_and_labels(gaps=True)
    lists = {m: [None if np.isnan(row[0]) else row.tolist() for row in matrix] for m, matrix in views.items()}
    columns = {m: pa.array(values, pa.list_(pa.float32())) for m, values in lists.items()}
    table = pa.table({**columns, "labels": pa.array(labels.tolist(), pa.list_(pa.int8()))})
    fixed = pa.array(lists["text"], pa.list_(pa.float32(), views["text"].shape[1]))
    parquet.write_table(table.set_column(1, "text", fixed)[:200], tmp_path / "a.parquet", row_group_size=100)
    parquet.write_table(table[200:], tmp_path / "b.parquet", row_group_size=100)
    items = ParquetBlocks([tmp_path / "a.parquet", tmp_path / "b.parquet"], list(views), "labels")
    assert items.sizes == [100, 100, 100, 30] and items.widths == {m: x.shape[1] for m, x in views.items()}
    for i in range(4):
        rows = slice(100 * i, 100 * i + 100)
        for name, matrix in views.items():
            np.testing.assert_array_equal(items.views(i)[name], matrix[rows])
        np.testing.assert_array_equal(items.labels(i, None), labels[rows])
    whole = distributed.fit(mh.SMHOQA(n_bits=12, random_state=0, max_iter=3), written(tmp_path, views, labels))
    found = distributed.fit(mh.SMHOQA(n_bits=12, random_state=0, max_iter=3), items)
    np.testing.assert_array_equal(found.functions_["image"], whole.functions_["image"])
    with pytest.raises(ValueError, match=r"a\.parquet: has no column 'sound'"):
        ParquetBlocks(tmp_path / "a.parquet", ["sound"])


def test_nested_codes_are_not_fitted_from_several_blocks(tmp_path: Path) -> None:
    views, labels = views_and_labels()
    with pytest.raises(ValueError, match="nested codes need all rows in one part, got 4 parts"):
        distributed.fit(mh.A2LH(n_bits=16, nested=True, random_state=0), written(tmp_path, views, labels))
    one = distributed.fit(mh.A2LH(n_bits=16, nested=True, random_state=0), written(tmp_path, views, labels, rows=N))
    assert one.prefix(8).n_bits == 8
