"""Embeddings from files: every kind of column, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modalhash.datasets import load_dataset, read_embeddings

N, D = 40, 6
ROWS = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


def vectors(rows: np.ndarray[Any, Any] = ROWS, fixed: bool = True, gaps: tuple[int, ...] = ()) -> Any:
    lists = [None if i in gaps else row.tolist() for i, row in enumerate(rows)]
    kind = pa.list_(pa.float32(), rows.shape[1]) if fixed else pa.list_(pa.float32())
    return pa.array(lists, type=kind)


def write(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=15)  # several chunks
    else:
        new = pa.ipc.new_stream if path.stem == "stream" else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=15)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow", "a.feather"])
@pytest.mark.parametrize("fixed", [True, False])
def test_tables_become_views_labels_and_what_to_show(tmp_path: Path, name: str, fixed: bool) -> None:
    labels = ["red", "blue"] * (N // 2)
    columns = {"image": vectors(fixed=fixed), "words": vectors(-ROWS[:, :3]), "label": labels}
    ids, texts = [f"i{i}" for i in range(N)], [f"text {i}" for i in range(N)]
    path = write(tmp_path / name, {**columns, "id": ids, "text": texts, "price": list(range(N))})
    data = load_dataset(path)
    np.testing.assert_array_equal(data.views["image"], ROWS)
    np.testing.assert_array_equal(data.views["words"], -ROWS[:, :3])
    assert set(data.views) == {"image", "words"} and data.label_names == ["blue", "red"]
    np.testing.assert_array_equal(data.labels, [1, 0] * (N // 2))
    assert data.titles == texts and data.ids is not None and data.ids.tolist() == ids
    assert {part: len(rows) for part, rows in data.split.items()} == {
        "query": 4,
        "validation": 4,
        "train": 32,
        "database": 36,
    }


def test_a_null_list_is_a_missing_view_and_a_null_label_is_not_labelled(tmp_path: Path) -> None:
    several: list[Any] = [["a"], ["b", "a"], []] * 13 + [None]
    path = write(tmp_path / "a.parquet", {"x": vectors(gaps=(0, 17)), "labels": several})
    data = read_embeddings(path)
    x, labels = np.asarray(data.views["x"]), np.asarray(data.labels)
    assert np.isnan(x[[0, 17]]).all() and np.isfinite(np.delete(x, [0, 17], axis=0)).all()
    np.testing.assert_array_equal(np.delete(x, [0, 17], axis=0), np.delete(ROWS, [0, 17], axis=0))
    assert data.label_names == ["a", "b"] and np.isnan(labels[-1]).all()
    np.testing.assert_array_equal(labels[:3], [[1, 0], [1, 1], [0, 0]])
    classes = write(tmp_path / "b.parquet", {"x": vectors(), "kind": [5, None, 3, 3] * 10})
    labels = np.asarray(read_embeddings(classes, labels="kind").labels)
    assert np.isnan(labels[1]).all() and labels[0].tolist() == [0, 1] and labels[2].tolist() == [1, 0]


def test_columns_are_named(tmp_path: Path) -> None:
    flags = {"red": [1, 0] * 20, "big": [True, False] * 20, "key": [str(i) for i in range(N)]}
    part = ["train"] * 20 + ["val"] * 5 + ["test"] * 10 + ["database"] * 5
    path = write(tmp_path / "a.parquet", {"a": vectors(), "b": vectors(), "part": part, **flags})
    data = read_embeddings(path, views="b", labels=["red", "big"], ids="key", titles="part", split="part")
    assert list(data.views) == ["b"] and data.label_names == ["red", "big"]
    np.testing.assert_array_equal(data.labels, [[1, 1], [0, 0]] * 20)
    sizes = {name: len(rows) for name, rows in data.split.items()}
    assert sizes == {"train": 20, "validation": 5, "query": 10, "database": 30}


def test_an_array_is_one_view_with_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", ROWS)
    assert load_dataset(tmp_path / "own.npy").labels is None
    np.save(tmp_path / "own.labels.npy", np.array(["x", "y"] * 20))
    data = load_dataset(tmp_path / "own.npy")
    np.testing.assert_array_equal(data.views["embedding"], ROWS)
    assert data.label_names == ["x", "y"] and np.asarray(data.labels)[:2].tolist() == [0, 1]
    np.save(tmp_path / "kinds.npy", np.eye(N, 3, dtype=np.uint8))
    given = read_embeddings(tmp_path / "own.npy", views="text", labels=str(tmp_path / "kinds.npy"))
    assert list(given.views) == ["text"] and np.asarray(given.labels).shape == (N, 3)


def test_the_drawn_split_is_bounded_and_the_seeds(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", ROWS)
    one, same, other = (read_embeddings(tmp_path / "own.npy", held_out=2, seed=seed) for seed in (0, 0, 1))
    assert len(one.split["query"]) == len(one.split["validation"]) == 2
    assert one.checksum == same.checksum != other.checksum


@pytest.mark.parametrize(
    ("columns", "options", "error", "told"),
    [
        ({"x": [1.0] * N}, {}, ValueError, "no column of lists of numbers; its columns: .*x: double"),
        ({"x": vectors()}, {"views": "y"}, ValueError, "no column 'y'; its columns: x"),
        ({"x": vectors()}, {"labels": "y"}, ValueError, "no column 'y'"),
        ({"x": vectors(), "t": ["a"] * N}, {"views": "t"}, TypeError, "'t': expected lists of numbers, got string"),
        ({"x": [[1.0, 2.0], [1.0]] * 20}, {}, ValueError, "'x': expected lists of one length, got lengths 1, 2"),
        ({"x": [[1.0, None]] * N}, {}, ValueError, f"'x': {N} numbers inside the lists are null"),
        ({"x": vectors(), "label": [0.5] * N}, {}, TypeError, "'label': expected integers, texts or lists of them"),
        ({"x": vectors(), "label": pa.nulls(N, pa.int64())}, {}, ValueError, "'label': holds no label"),
        ({"x": vectors(), "label": [[0.5]] * N}, {}, TypeError, "expected lists of integers or texts"),
        ({"x": vectors(), "split": ["somewhere"] * N}, {}, ValueError, "unknown part 'somewhere'"),
        ({"x": vectors()}, {"held_out": -1}, ValueError, "held_out"),
    ],
)
def test_bad_tables_are_refused(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, Any], error: type[Exception], told: str
) -> None:
    path = write(tmp_path / "bad.parquet", columns)
    with pytest.raises(error, match=told) as raised:
        read_embeddings(path, **options)
    assert "bad.parquet" in str(raised.value) or "held_out" in str(raised.value)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow", "a.npy"):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(ValueError, match=f"{name}.*"):
            load_dataset(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="not found"):
        read_embeddings(tmp_path / "none.npy")
    np.save(tmp_path / "flat.npy", ROWS[0])
    with pytest.raises(ValueError, match=r"flat.npy: expected an array \(n, d\), got shape \(6,\)"):
        load_dataset(tmp_path / "flat.npy")
    np.save(tmp_path / "own.npy", ROWS)
    for options, told in (
        ({"labels": "none.npy"}, "none.npy not found"),
        ({"ids": "id"}, "has no columns"),
        ({"views": ["a", "b"]}, "holds one view"),
    ):
        with pytest.raises(ValueError, match=told):
            read_embeddings(tmp_path / "own.npy", **options)
