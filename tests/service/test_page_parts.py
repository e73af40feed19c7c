"""Parts of the page that need no service: strips, titles, the map, facts of the bits, background work."""

from __future__ import annotations

import io
import itertools
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from service_place import picture

import modalhash as mh
from coloured_pictures import coloured_pictures
from modalhash.codes import BinaryCodes
from modalhash.collection import Collection, Show
from modalhash.index import Index

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

from modalhash.service.page import floats, pictures
from modalhash.service.page.inspecting import bits_of, distinct, regions
from modalhash.service.page.kept import Once
from modalhash.service.page.layout import free_cells, layout
from modalhash.service.page.moment import Moment
from modalhash.service.page.rendering import link, milliseconds
from modalhash.service.page.routes import spread
from modalhash.service.page.searching import Asked, answer
from modalhash.service.page.strips import strip
from modalhash.service.page.titles import plain_title


def codes(n: int, n_bits: int = 16, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_signs(np.random.default_rng(seed).standard_normal((n, n_bits)))


@pytest.mark.parametrize(
    ("n_bits", "width", "height"), [(1, 1, 1), (16, 16, 1), (64, 16, 4), (128, 32, 4), (512, 64, 8)]
)
def test_a_strip_has_one_square_a_bit(n_bits: int, width: int, height: int) -> None:
    bits = np.random.default_rng(0).random(n_bits) < 0.5
    drawn = strip(bits)
    assert (drawn.width, drawn.height) == (width, height)
    for path, wanted in ((drawn.on, True), (drawn.off, False)):
        places = [(int(float(x)), int(float(y))) for x, y in re.findall(r"M([\d.]+) ([\d.]+)h", path)]
        assert [y * width + x for x, y in places] == np.flatnonzero(bits == wanted).tolist()


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("🍍 pineapple", "pineapple"),
        ("9️⃣ keycap: 9", "keycap: 9"),
        ("Über uns", "Über uns"),
        ("🍍", "🍍"),
        ("7 up", "7 up"),
    ],
)
def test_titles_lose_the_emoji_before_them(title: str, shown: str) -> None:
    assert plain_title(title) == shown


def test_links_and_times() -> None:
    assert link("/", q="a b&c", item="", columns=True, k=None) == "/?q=a+b%26c&columns=1" and link("/x") == "/x"
    assert link("/x", item=0, columns=False) == "/x?item=0"
    assert [milliseconds(s) for s in (0.00008, 0.0123)] == ["0.08 ms", "12 ms"]


@pytest.mark.parametrize(("n", "k"), [(1, 5), (2, 2), (160, 24), (1249, 24), (89, 89)])
def test_items_to_begin_with_are_distinct(n: int, k: int) -> None:
    chosen = spread(n, k)
    assert len(set(chosen)) == min(n, k) and all(0 <= i < n for i in chosen)


def test_every_item_has_a_cell_of_its_own_and_near_codes_share_a_neighbourhood() -> None:
    data = coloured_pictures()
    hasher = mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    made = hasher.encode(data.part("database"))
    one, again = layout(made), layout(made)
    np.testing.assert_array_equal(one.cells, again.cells)
    assert len({tuple(cell) for cell in one.cells.tolist()}) == 160
    assert (one.cells >= 0).all() and (one.cells < (one.columns, one.rows)).all()
    group = np.arange(160) % 4
    distances = np.hypot(*(one.cells[:, None] - one.cells[None]).transpose(2, 0, 1)) + 1e9 * np.eye(160)
    near = np.argsort(distances, axis=1)[:, :5]
    assert (group[near] == group[:, None]).mean() > 0.85  # chance is a quarter
    listed = sorted(itertools.chain.from_iterable(rows for _, rows in regions(one)))
    assert listed == list(range(160))


@pytest.mark.parametrize("n", [1, 2, 3, 9, 11, 40])
def test_maps_of_few_and_of_equal_items(n: int) -> None:
    for made in (codes(n), BinaryCodes(np.zeros((n, 2), np.uint8), 16)):
        one = layout(made)
        assert len({tuple(cell) for cell in one.cells.tolist()}) == n
        assert (one.cells < (one.columns, one.rows)).all()


def test_a_large_collection_is_thinned_out_evenly() -> None:
    one = layout(codes(500), most=50)
    assert one.shown.tolist() == list(range(0, 500, 10)) and len(one.cells) == 50


def test_the_nearest_free_cell() -> None:
    cells = free_cells(np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]), 3, 3)
    assert cells.tolist()[0] == [1, 1] and cells.tolist()[2] == [0, 0]
    assert abs(cells[1] - [1, 1]).sum() == 1


def test_facts_of_bits_against_plain_loops() -> None:
    made = codes(300)
    signs = made.signs().astype(float)
    signs[:, 3] = -signs[:, 9]
    signs[:, 5] = 1
    made = BinaryCodes.from_signs(signs)
    facts = bits_of(made)
    np.testing.assert_allclose(facts.shares, (signs > 0).mean(axis=0))
    assert set(facts.pair) == {3, 9} and facts.correlation == pytest.approx(-1)
    assert facts.distinct == len({tuple(row) for row in signs.tolist()})
    assert facts.uneven == pytest.approx(np.abs((signs > 0).mean(axis=0) - 0.5).mean())


@pytest.mark.parametrize("n_bits", [8, 64, 130])
def test_different_codes_are_counted(n_bits: int) -> None:
    made = codes(200, n_bits)
    twice = BinaryCodes(np.concatenate([made.packed, made.packed[::3]]), n_bits)
    assert distinct(twice) == len({row.tobytes() for row in made.packed})
    assert distinct(made[:1]) == 1


def test_floats_have_the_signs_of_the_codes() -> None:
    data = coloured_pictures()
    views = data.part("database")
    hasher = mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    values = floats.unit(hasher.outputs(views))
    np.testing.assert_array_equal(values >= 0, hasher.encode(views).signs() > 0)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
    one = hasher.outputs({name: matrix[5:6] for name, matrix in views.items()})
    np.testing.assert_array_equal(floats.unit(one)[0], values[5])


def test_nearest_floats_are_in_order_of_distance_then_position() -> None:
    values = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.float32)
    near, distances = floats.nearest(np.array([1, 0], np.float32), values, None, 2)
    assert near.tolist() == [0, 2] and distances.tolist() == [0, 0]
    near, _ = floats.nearest(np.array([1, 0], np.float32), values, np.array([1, 2, 3]), 9)
    assert near.tolist() == [2, 3, 1]


def test_rescoring_is_in_the_order_of_the_floats_among_the_nearest_codes() -> None:
    data = coloured_pictures()
    hasher = mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    made = hasher.encode(data.part("database"))
    moment = Moment(
        Collection(hasher, Index.build(made), data.features, Show(data.titles or [], data.pictures or [])), 0
    )
    vectors = floats.unit(hasher.outputs(data.part("database")))
    found = answer(moment, Asked(words="fruit"), 3, ways=("code + rescoring",), vectors=vectors)
    assert found.query.vector is not None
    shortlist, _ = moment.search(found.query.code, 30)
    score = 1 - vectors[np.sort(shortlist)] @ found.query.vector
    wanted = np.sort(shortlist)[np.argsort(score, kind="stable")[:3]]
    assert [hit.at for hit in found.columns[0].found] == wanted.tolist()


def test_what_is_shown_of_a_store_is_read_by_position_and_found_by_id(tmp_path: Any) -> None:
    hasher = mh.LSH(n_bits=8, random_state=0).fit({"x": np.random.default_rng(0).standard_normal((5, 3))})
    ids = ["b", "a", "d", "c", "e"]
    show = Show([f"Title {id_}" for id_ in ids], [picture("red"), b"", b"", b"", b""])
    made = Collection.create(tmp_path / "c", hasher, Index.build(codes(5, 8), ids), {}, show)
    moment = Moment(made, 0)
    assert [moment.find(id_) for id_ in (*ids, "x", "")] == [0, 1, 2, 3, 4, None, None]
    assert (
        moment.titles() == list(show.titles)
        and moment.folded_titles[0] == "title b"
        and moment.picture(0) == show.pictures[0]
    )
    near, distances = moment.search(moment.codes[2], 1)
    assert near.tolist() == [2] and distances.tolist() == [0]
    fresh = Moment(made, 0)
    made.delete(["d"])
    assert fresh.title(2) == fresh.folded_titles[2] == "" and fresh.folded_titles[4] == "title e"  # deleted meanwhile
    numbers = Moment(Collection(hasher, Index.build(codes(3, 8), [7, -2, 5]), {}, Show(["", "", ""], [b""] * 3)), 0)
    assert [numbers.find(text) for text in ("7", "-2", "5", "6", "x", "1e3", "9" * 40)] == [
        0,
        1,
        2,
        None,
        None,
        None,
        None,
    ]


def test_the_map_shows_each_picture_in_its_cell_on_no_ground() -> None:
    shown = [picture("red", (40, 40)), b"", picture("white", (40, 40)), b"junk"]
    cells = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    with Image.open(io.BytesIO(pictures.map_picture(shown, cells, 2, 2, side=20))) as made:
        pixels = np.asarray(made.convert("RGBA")).astype(int)
    assert pixels.shape == (40, 40, 4)
    assert pixels[10, 10, 0] > 200 and pixels[10, 10, 3] > 250
    assert pixels[10, 30, 3] > 250 and pixels[30, 10, 3] == 0  # a dot; white ground is none
    ring = np.full((9, 9, 3), 255, np.uint8)
    ring[3:6, 3:6] = 0
    ring[4, 4] = 255
    ground = pictures.white_around(ring)
    assert ground[0, 0] and not ground[4, 4] and ground.sum() == 81 - 9


def test_only_kinds_that_browsers_may_be_handed() -> None:
    assert pictures.kind(picture()) == "image/png" and pictures.as_text(b"<svg/>") == ""
    assert pictures.kind(b"RIFF....WAVE") == "" and pictures.kind(b"<script>") == ""


def test_a_value_is_made_once_and_again_after_an_error() -> None:
    once, calls = Once(), []

    def make() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no")
        return 7

    with pytest.raises(OSError, match="no"):
        once.get(make)
    assert [once.get(make), once.get(make)] == [7, 7] and len(calls) == 2


@pytest.mark.slow
def test_a_system_that_weighs_views_tells_the_weights(tmp_path: Any) -> None:
    from modalhash.service.page.inspecting import meanings_of
    from modalhash.service.page.routes_inside import _item

    data = coloured_pictures()
    hasher = mh.BSTH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    made = hasher.encode(data.part("database"))
    show = Show(data.titles or [], data.pictures or [])
    moment = Moment(Collection(hasher, Index.build(made), data.features, show), 0)
    asked = Asked(words="fruit", picture=picture("red"))
    weights = answer(moment, asked, 3).query.weights
    assert [name for name, _ in weights] == list(hasher.widths_)
    assert sum(weight for _, weight in weights) == pytest.approx(1)
    told = _item(moment, meanings_of(moment, {}), 5)
    assert sum(weight for _, weight in told["weights"]) == pytest.approx(1) and len(told["near"]) == 12
    assert answer(moment, Asked(words="fruit"), 3).query.weights == []
