"""Files of a store that are damaged, foreign, in the way, or cannot be written."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_machine import draw_codes

from modalhash import BinaryCodes, Hits, Store
from modalhash.index import Show, StoreLocked, code_cache, truth
from modalhash.index.columns import IdColumn, Rows
from modalhash.index.file_store import FileStore
from modalhash.index.lock import WriterLock

BITS, N = 20, 24
ASKED = draw_codes(2, 99, BITS)


def filled(folder: Path, n: int = N, texts: bool = True) -> FileStore:
    store = Store.open(folder, n_bits=BITS, create=True, model="m")
    assert isinstance(store, FileStore)
    ids: Any = [f"é{i}" for i in range(n)] if texts else list(range(n))
    store.upsert(ids, draw_codes(n, 0, BITS), Show([f"t{i}" for i in range(n)], [b"p"] * n))
    store.compact()
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    filled(tmp_path / "store").close()
    return tmp_path / "store"


def cache_of(folder: Path) -> Path:
    (found,) = folder.glob("codes-*")
    return found


def same(found: Hits, expected: Hits) -> bool:
    return np.array_equal(found.ids, expected.ids) and np.array_equal(found.distances, expected.distances)


def intact(folder: Path, **options: Any) -> bool:
    """Whether the store still answers as it did when it was made."""
    with Store.open(folder, **options) as store:
        items = store.get([f"é{i}" for i in range(N)])
        wanted = ASKED.hamming(draw_codes(N, 0, BITS))
        found = store.search(ASKED, 5)
        right = np.array_equal(found.distances, np.sort(wanted, axis=1)[:, :5])
        return right and store.count() == N and np.array_equal(items.codes.packed, draw_codes(N, 0, BITS).packed)


@pytest.mark.parametrize("texts", [True, False])
def test_every_flipped_or_missing_byte_of_the_cache_is_noticed_and_the_file_made_anew(
    tmp_path: Path, texts: bool
) -> None:
    with filled(tmp_path / "store", 4, texts) as store:
        expected = store.search(ASKED, 5)
        name, about = cache_of(tmp_path / "store").name, store._about
    content = (tmp_path / "store" / name).read_bytes()
    assert code_cache.read(tmp_path / "store", name, about.trimmed, BITS) is not None
    for i in range(len(content)):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        for damaged in (bytes(flipped), content[:i]):
            (tmp_path / name).unlink(missing_ok=True)  # a new file is not flushed, one that is cut is
            (tmp_path / name).write_bytes(damaged)
            assert code_cache.read(tmp_path, name, about.trimmed, BITS) is None, i
    for damaged in (content[:-1], content + b"\0", b"", content[:100] + b"\xff" + content[101:]):
        cache_of(tmp_path / "store").write_bytes(damaged)
        with Store.open(tmp_path / "store", read_only=True) as reader:
            assert same(reader.search(ASKED, 5), expected)
        assert cache_of(tmp_path / "store").read_bytes() == damaged  # a reader writes nothing
        with Store.open(tmp_path / "store") as writer:
            assert same(writer.search(ASKED, 5), expected)
            assert cache_of(tmp_path / "store").stat().st_size == len(content)


@pytest.mark.parametrize("other", [{"version": 9}, {"n_bits": 19}, {"name": "codes-0.cache"}])
def test_a_whole_cache_of_another_store_is_not_used(folder: Path, other: dict[str, Any]) -> None:
    path = cache_of(folder)
    with Store.open(folder) as store:
        assert isinstance(store, FileStore)
        named: dict[str, Any] = {"name": path.name, "version": store._about.trimmed, "n_bits": BITS}
    assert code_cache.read(folder, **named) is not None
    if "name" in other:
        shutil.copy(path, folder / other["name"])
    assert code_cache.read(folder, **(named | other)) is None


def test_a_whole_cache_of_nonsense_is_not_used(folder: Path) -> None:
    """Regression, by fuzzing: a checksum that fits vouches for what was written, not for who wrote it."""
    path = cache_of(folder)
    with Store.open(folder) as store:
        assert isinstance(store, FileStore)
        version = store._about.trimmed
    content = path.read_bytes()[code_cache.DIGEST :]
    facts = json.loads(content[: code_cache.HEADER - code_cache.DIGEST])
    shapes = facts["arrays"]
    other = (
        [["int64", [1]], *shapes[1:]],
        shapes[:2],
        [*shapes, ["uint8", [1]]],
        [["int64", [1 << 70]]],
        [["-,i", [1]]],
        3,
    )
    for wrong in (b"[]", b"{", b"[" * 400, *(json.dumps({**facts, "arrays": given}).encode() for given in other)):
        made = wrong.ljust(code_cache.HEADER - code_cache.DIGEST) + content[code_cache.HEADER - code_cache.DIGEST :]
        path.write_bytes(sha256(made).digest() + made)
        assert code_cache.read(folder, path.name, version, BITS) is None, wrong
    beyond = Rows(np.arange(2), draw_codes(2, 1, BITS), IdColumn(np.array([0, 1 << 40, 2]), np.zeros(4, np.uint8)))
    unequal = Rows(np.arange(2), draw_codes(3, 1, BITS), IdColumn(np.arange(2)))
    for rows in (beyond, unequal):
        name = code_cache.write(folder, version, rows)
        assert code_cache.read(folder, name, version, BITS) is None


def test_the_cache_of_an_older_or_forked_truth_is_not_used(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "fork")
    for place, seed in ((folder, 1), (tmp_path / "fork", 2)):
        with Store.open(place) as store:
            store.upsert(["é0"], draw_codes(1, seed, BITS))
            store.compact()  # type: ignore[attr-defined]
            expected = store.search(ASKED, 5)
    shutil.copy(cache_of(folder), cache_of(tmp_path / "fork"))  # as many writes, but others
    with Store.open(tmp_path / "fork") as fork:
        assert same(fork.search(ASKED, 5), expected)


def test_leftovers_are_cleaned_by_a_writer_and_other_files_stay(folder: Path) -> None:
    ours = [folder / "codes-00.cache", folder / "codes-01.cache.tmp"]
    others = [folder / "notes.txt", folder / "codes-of-conduct", folder / "x.tmp"]
    for path in (*ours, *others):
        path.write_text("left")
    assert intact(folder, read_only=True) and all(path.exists() for path in ours)
    assert intact(folder)
    assert not any(path.exists() for path in ours) and all(path.exists() for path in others)


@pytest.mark.parametrize("stale", [b"", b"process 1\n", b"\xff" * 300, f"process {2**22}\n".encode()])
def test_what_a_dead_writer_left_in_the_lock_does_not_matter(folder: Path, stale: bytes) -> None:
    (folder / "writer.lock").write_bytes(stale)
    assert intact(folder)


def test_one_writer_in_a_process_too(folder: Path) -> None:
    with Store.open(folder) as first:
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            Store.open(folder)
        assert intact(folder, read_only=True)
        first.delete(["nobody"])
    assert intact(folder)


def change(statement: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        connection = sqlite3.connect(folder / truth.FILE)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return damage


def cut(size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / truth.FILE, size)


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (change("PRAGMA user_version=2"), ValueError, "has format 2, this version of modalhash reads up to 1; use a"),
        (change("PRAGMA application_id=7"), ValueError, "is not a store of ours"),
        (change("DROP TABLE about"), ValueError, "is damaged"),
        (cut(8192), ValueError, "is damaged"),
        (cut(50), ValueError, "is damaged|is not a store"),
        (cut(0), ValueError, "is not a store of ours"),
        (lambda folder: (folder / truth.FILE).write_bytes(b"\xff" * 9000), ValueError, "is damaged"),
        (lambda folder: (folder / truth.FILE).unlink(), FileNotFoundError, "items.sqlite: not found; create=True"),
        (shutil.rmtree, FileNotFoundError, "items.sqlite: not found"),
    ],
)
def test_a_truth_that_cannot_be_read_is_refused(
    folder: Path, damage: Callable[[Path], None], error: type[Exception], message: str, read_only: bool
) -> None:
    damage(folder)
    with pytest.raises(error, match=message):
        Store.open(folder, read_only=read_only)


def test_what_does_not_fit_at_the_door_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds codes of 20 bits, not of 21"):
        Store.open(folder, n_bits=21)
    with pytest.raises(ValueError, match=r"holds codes of another model \(m\), not of n"):
        Store.open(folder, model="n")
    with pytest.raises(ValueError, match="to make a store, n_bits is needed"):
        Store.open(tmp_path / "new", create=True)
    with pytest.raises(ValueError, match="n_bits: expected an integer of at least 1"):
        Store.open(tmp_path / "new", n_bits=0, create=True)
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"holds other files \(no items.sqlite\)"):
        Store.open(tmp_path, n_bits=8, create=True)
    with pytest.raises(ValueError, match="expected a folder, file://… or milvus://…"):
        Store.open("redis://here")
    with pytest.raises(ValueError, match="expected file:///path"):
        Store.open("file://elsewhere/store")
    with pytest.raises(TypeError, match="consistency"):
        Store.open(folder, consistency="Strong")
    assert not (tmp_path / "new").exists() and sorted(p.name for p in tmp_path.iterdir()) == ["store", "thesis.txt"]
    assert intact(folder, n_bits=BITS, model="m", create=True)


def test_a_file_address_names_a_folder(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "a store")
    assert intact(Path(f"{tmp_path}/a store"))
    with Store.open(f"file://{tmp_path}/a%20store") as store:
        assert store.count() == N


def test_a_store_that_was_begun_is_finished(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / truth.FILE).touch()  # killed before the first commit
    with filled(tmp_path / "store") as store:
        assert store.count() == N


def test_closed_read_only_and_forked_stores_say_so(folder: Path) -> None:
    with Store.open(folder, read_only=True) as store, pytest.raises(PermissionError, match="was opened read-only"):
        store.upsert(["a"], draw_codes(1, 1, BITS))
    store.close()
    for call in (store.count, lambda: store.search(ASKED, 1), lambda: store.delete(["a"]), lambda: store.get(["a"])):
        with pytest.raises(ValueError, match="the store is closed"):
            call()
    with Store.open(folder) as store:
        assert isinstance(store, FileStore)
        store._process = -1
        with pytest.raises(ValueError, match="was opened by another process"):
            store.count()
        store._process = os.getpid()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_read_only_folder_is_read_and_not_written() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        filled(folder).close()
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        os.chmod(place, 0o755)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.setuid(65534)
                assert intact(folder, read_only=True)
                for where, create in ((folder, False), (folder, True), (folder.parent / "new", True)):
                    with pytest.raises(PermissionError, match=str(where)):
                        Store.open(where, n_bits=BITS, create=create)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert intact(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill_up(store: Store) -> int:
    """Upsert until the store refuses; returns how many batches it took."""
    pictures = [os.urandom(2000)] * 50
    for batch in range(1000):
        ids = [f"b{batch}-{i}" for i in range(50)]
        try:
            store.upsert(ids, draw_codes(50, batch, BITS), Show([""] * 50, pictures))
        except OSError as error:
            assert "items.sqlite" in str(error) and "nothing of this write was kept" in str(error)
            return batch
    raise AssertionError("the disk never filled up")


def check_full(store: Store, folder: Path, batches: int) -> None:
    assert batches > 0 and store.count() == N + 50 * batches
    last = store.get([f"b{batches - 1}-{i}" for i in range(50)])
    np.testing.assert_array_equal(last.codes.packed, draw_codes(50, batches - 1, BITS).packed)
    with pytest.raises(ValueError, match="no item"):
        store.get([f"b{batches}-0"])
    assert store.search(ASKED, 3).ids.shape == (2, 3)


def test_a_full_disk_refuses_the_write_and_keeps_the_rest(small_disk: Path) -> None:
    with filled(small_disk / "store") as store:
        (small_disk / "ballast").write_bytes(bytes(2**19))
        batches = fill_up(store)
        check_full(store, small_disk / "store", batches)
        with pytest.raises(OSError, match="No space left"):
            store.compact()
        assert fill_up(store) == 0 and store.count() == N + 50 * batches  # again and again
        with Store.open(small_disk / "store", read_only=True) as reader:
            check_full(reader, small_disk / "store", batches)
    with Store.open(small_disk / "store") as store:
        check_full(store, small_disk / "store", batches)
        (small_disk / "ballast").unlink()
        store.upsert(["after"], draw_codes(1, 5, BITS))
        assert store.count() == N + 50 * batches + 1
    assert not list((small_disk / "store").glob("*.tmp"))


def test_a_file_that_may_not_grow_refuses_the_write_and_keeps_the_rest(folder: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store.open(folder) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
        try:
            batches = fill_up(store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        check_full(store, folder, batches)
        store.upsert(["after"], draw_codes(1, 5, BITS))
    with Store.open(folder) as store:
        assert store.count() == N + 50 * batches + 1


def test_a_snapshot_takes_no_place_that_is_taken(folder: Path, tmp_path: Path) -> None:
    with Store.open(folder) as store:
        with pytest.raises(ValueError, match="is there already"):
            store.snapshot(folder)
        (tmp_path / "empty").mkdir()
        store.snapshot(tmp_path / "empty")
        store.upsert(["é0"], draw_codes(1, 77, BITS))
    assert intact(tmp_path / "empty") and intact(tmp_path / "empty", read_only=True, model="m")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_truth_is_flushed_with_every_commit(folder: Path) -> None:
    with Store.open(folder) as store:
        assert isinstance(store, FileStore) and store._writer is not None
        connection = store._writer.connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_disk_has_a_write_before_it_is_acknowledged(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    program = """if True:
        import os, sys, numpy as np
        from modalhash import BinaryCodes, Store
        with Store.open(sys.argv[1], n_bits=8, create=True) as store:
            for i in range(3):
                os.write(1, b"asked")
                store.upsert([i], BinaryCodes(np.zeros((1, 1), np.uint8), 8))
                os.write(1, b"acknowledged")
    """
    log, words = tmp_path / "log", [sys.executable, "-c", program, str(tmp_path / "store")]
    command = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-e",
        "trace=write,pwrite64,fsync,fdatasync",
        "-o",
        str(log),
        *words,
    ]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    parts = re.findall(r'"asked"(.*?)"acknowledged"', log.read_text(), flags=re.DOTALL)
    assert len(parts) == 3
    for part in parts:
        written, flushed = part.rfind("sqlite-wal>, "), part.rfind("sync(")
        assert 0 < written < flushed and "sqlite-wal>" in part[flushed:]


def test_a_lock_that_is_let_go_can_be_taken(tmp_path: Path) -> None:
    first = WriterLock(tmp_path)
    with pytest.raises(StoreLocked):
        WriterLock(tmp_path)
    first.release()
    WriterLock(tmp_path).release()


def test_codes_of_every_length(tmp_path: Path) -> None:
    for bits in (1, 7, 8, 16, 24, 64, 65, 128, 300):
        codes = draw_codes(40, bits, bits)
        with Store.open(tmp_path / str(bits), n_bits=bits, create=True) as store:
            store.upsert(list(range(40)), codes)
            store.compact()  # type: ignore[attr-defined]
            store.upsert([3], codes[[3]])
            order = np.argsort(codes[:4].hamming(codes), axis=1, kind="stable")[:, :9]
            np.testing.assert_array_equal(store.search(codes[:4], 9).ids, order)
            items = store.get([5, 1])
            assert isinstance(items.codes, BinaryCodes)
            np.testing.assert_array_equal(items.codes.packed, codes.packed[[5, 1]])
