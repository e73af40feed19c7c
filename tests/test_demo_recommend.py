"""The demo of recommenders: simulated tastes, a split that leaks nothing, and a page that stands alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from coloured_pictures import coloured_pictures
from modalhash.cli_recommend import open_recommender
from modalhash.datasets import Dataset
from modalhash.datasets.ratings import Ratings, write_ratings
from modalhash.datasets.reviews import Reviews
from modalhash.demo.hit_rates import measure, split_ratings
from modalhash.demo.recommend import learn, nearest_new, run_recommend
from modalhash.demo.recommend_page import Pick, Reader, others_text, write_recommend_page
from modalhash.demo.simulated import simulate, without_picture
from modalhash.recommend.explanation import Explanation, Ground, in_words
from pages import Page
from recommender_contract import planted

EVIL = "<script>x</script> & $style"
ROW = {
    "task": "<b>",
    "mdcf": 0.5,
    "mdcf_sd": 0.1,
    "popularity": 0.25,
    "popularity_sd": 0.0,
    "chance": 0.1,
    "others": 99,
}


def test_users_rate_by_their_tastes_with_noise() -> None:
    data, taste = simulate(0, 200, coloured_pictures())
    again, _ = simulate(0, 200, coloured_pictures())
    other, _ = simulate(1, 200, coloured_pictures())
    assert (data.ratings != again.ratings).nnz == 0 and (data.ratings != other.ratings).nnz > 0
    assert taste.likes.sum(axis=1).tolist() == [2] * 200 and taste.groups == ["fruit", "fields", "seas", "lights"]
    assert np.diff(data.ratings.indptr).tolist() == [40] * 200 and set(data.ratings.data) == {1, 2, 3, 4, 5}
    entries = data.ratings.tocoo()
    liked = taste.suits()[entries.row, entries.col]
    assert 0.65 < liked.mean() < 0.75
    assert entries.data[liked].mean() > 4 and entries.data[~liked].mean() < 2.5
    np.testing.assert_array_equal(data.user_views["taste"], taste.likes)
    assert taste.of(0).count(" and ") == 1


def test_a_group_that_is_too_small_is_liked_by_nobody() -> None:
    labels = np.zeros((100, 3), dtype=np.uint8)
    labels[np.arange(100), np.r_[np.zeros(49, int), np.ones(49, int), [2, 2]]] = 1
    data = Dataset(name="d", views={"x": np.eye(100)}, labels=labels, label_names=["a", "b", "c"])
    _, taste = simulate(0, 30, data)
    assert taste.likes.tolist() == [[True, True, False]] * 30


def test_nothing_of_who_is_new_is_in_training() -> None:
    data, _ = simulate(0, 100, coloured_pictures())
    split = split_ratings(data, 0)
    assert (len(split.new_users), len(split.new_items)) == (10, 32)
    assert split.train[split.new_users].nnz == 0 and split.train[:, split.new_items].nnz == 0
    both = split.train.multiply(split.test.tocsr())
    assert both.nnz == 0 and split.test.data.min() >= split.train.data.mean()
    p = planted()
    bare = split_ratings(Ratings(name="p", ratings=p.ratings), 0)
    assert not len(bare.new_users) and not len(bare.new_items)  # nothing is known of whom nobody rated


def test_the_page_of_any_ratings_is_whole_and_escaped(tmp_path: Path) -> None:
    data = Ratings(
        name=EVIL,
        ratings=sp.csr_array(np.ones((2, 3))),
        titles=[EVIL, "b", "c"],
        pictures=[b"\x89PNG1", b"", b"GIF8.."],
    )
    picks = (Pick(0, EVIL, True, True, EVIL), Pick(1, "b", False, False, "why"))
    readers = [Reader(EVIL, False, EVIL, ((2, "rated 5"),), picks, picks[:1]), Reader(7, True, "", (), picks, ())]
    page = Page(write_recommend_page(tmp_path / "a" / "r.html", data, readers, [ROW], 8, 1).read_text("utf8"))
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["r.html"]
    page.check_loads_nothing()
    assert not page.all("script") and not page.all("b") and "Simulated" not in page.text
    assert [span.get("style") for span in page.all("span") if "style" in span] == ["--w:100%", "--w:50%"]
    assert page.text.count("of what is new") == 1 and "nothing yet" in page.text
    assert len([div for div in page.all("div") if div.get("class") == "new"]) == 3
    simulated = [{**ROW, "taste": 0.8, "taste_chance": 0.25}]
    told = Page(write_recommend_page(tmp_path / "s.html", data, readers, simulated, 8, 1).read_text("utf8")).text
    assert "Simulated users" in told and "do not exist" in told and "80%" in told and "25%" in told


def test_a_run_on_simulated_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_recommend(tmp_path, 16, 2, pictures=coloured_pictures())
    told = capsys.readouterr().out
    json.dumps(result)
    assert result["simulated"] and "Simulated users" in told and f"recommend {tmp_path / 'recommender'}" in told
    assert [row["task"] for row in result["rows"]] == ["known items", "new items", "new users"]
    for row in result["rows"]:
        assert row["mdcf"] > row["chance"] and row["taste"] > row["taste_chance"]
    assert result["rows"][1]["popularity"] == pytest.approx(result["rows"][1]["chance"])  # nobody knows of new items
    assert result["rows"][0]["popularity"] > result["rows"][0]["chance"]
    assert [user["new"] for user in result["users"]] == [False] * 4 + [True] * 2
    model, titles = open_recommender(tmp_path / "recommender")
    assert titles is not None and len(titles) == 160
    for user in result["users"]:
        hits = model.recommend(user["user"], 10).ids[0].tolist()
        assert [pick["item"] for pick in user["recommended"]] == hits  # ids are positions here
        assert len(user["new_items"]) == 5 and all(pick["is_new"] for pick in user["new_items"])
        assert all(" of 16 bits agree, most from " in pick["why"] for pick in user["recommended"])
        assert all((" nearest of what was rated: " in pick["why"]) != user["new"] for pick in user["recommended"])
        assert not any(pick["quote"] for pick in user["recommended"])  # nobody wrote anything, so nothing is quoted
    page = Page(Path(result["page"]).read_text(encoding="utf8"))
    page.check_loads_nothing()
    assert len(page.all("section")) == 6 and "do not exist" in page.text and not page.all("b")
    assert "word for word" not in page.text and not page.all("blockquote")
    assert len(page.all("img")) == 4 * (9 + 15) + 2 * 15


def test_a_run_on_real_ratings(tmp_path: Path) -> None:
    p = planted()
    write_ratings(Ratings(name="p", ratings=p.ratings, item_views=p.item_views), tmp_path / "p")
    result = run_recommend(tmp_path / "out", 8, 1, data=str(tmp_path / "p"), quiet=True)
    assert not result["simulated"] and [row["task"] for row in result["rows"]] == ["known items", "new items"]
    text = Page(Path(result["page"]).read_text(encoding="utf8")).text
    assert f"among {others_text(result['rows'])} others" in text and max(row["others"] for row in result["rows"]) < 39
    assert "All ratings of one item in five were kept" in text
    assert "Recommended from p" in text and "imulated users" not in text and "emoji" not in text


def test_cards_quote_what_others_wrote(tmp_path: Path) -> None:
    p = planted()
    entries = p.ratings.tocoo()
    texts = [
        f"Plain <b>words</b> of {u} on {i}. {'Long ' * 60}end." for u, i in zip(entries.row, entries.col, strict=True)
    ]
    reviews = Reviews(entries.row, entries.col, texts)
    write_ratings(Ratings(name="p", ratings=p.ratings, reviews=reviews), tmp_path / "p")
    result = run_recommend(tmp_path / "out", 8, 1, data=str(tmp_path / "p"), quiet=True)
    ratings = Ratings(name="p", ratings=p.ratings)
    train = split_ratings(ratings, 0).train
    picks = [(user["user"], pick) for user in result["users"] for pick in user["recommended"]]
    for user, pick in picks:
        author = int(pick["source"].split(",")[0].rpartition(" ")[2])
        assert author != user and train[author, pick["item"]] != 0  # nothing that is withheld is quoted
        assert pick["quote"] == f"Plain <b>words</b> of {author} on {pick['item']}."
        assert "; nearest of what was rated: " in pick["why"]
    page = Page(Path(result["page"]).read_text(encoding="utf8"))
    page.check_loads_nothing()
    assert len(page.all("blockquote")) == len(picks) and not page.all("b") and "word for word" in page.text
    from modalhash.cli_recommend import quotes_of

    model, _ = open_recommender(tmp_path / "out" / "recommender")
    assert quotes_of(tmp_path / "out" / "recommender", model) is not None


def test_a_folder_of_the_user_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("modalhash.demo.recommend.simulate", never)
    (tmp_path / "recommender").mkdir()
    (tmp_path / "recommender" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="recommender: holds other files"):
        run_recommend(tmp_path, 8, 1, quiet=True)


@pytest.mark.parametrize(
    ("grounds", "told"),
    [
        ([], "2 of 8 bits agree"),
        ([("view 'text'", 0.1), ("ratings", 0.15)], "2 of 8 bits agree, most from ratings"),
        ([("view 'text'", 0.15), ("ratings", 0.1)], "2 of 8 bits agree, most from text"),
        ([("view 'a'", 0.125), ("view 'b'", 0.125)], "2 of 8 bits agree, most from a"),
        ([("rated item 3", 0.0)], "2 of 8 bits agree"),
    ],
)
def test_reasons_in_words(grounds: list[tuple[str, float]], told: str) -> None:
    found = Explanation(None, [Ground(source, "", share) for source, share in grounds], 0.25, np.array([1, 4]))
    assert in_words(found, 8) == told


@pytest.mark.parametrize(("title", "shown"), [("🍍 pineapple", "pineapple"), ("red thing", "red thing"), ("é", "é")])
def test_titles_without_the_character(title: str, shown: str) -> None:
    assert without_picture(title) == shown


def test_lists_hold_the_nearest_and_nothing_that_is_rated() -> None:
    data, taste = simulate(0, 100, coloured_pictures())
    split = split_ratings(data, 0)
    model = learn(data, split, 8, 0)
    distances = model.user_codes_.hamming(model.item_codes_)
    new = sorted(split.new_items.tolist(), key=lambda i: (distances[5, i], i))
    assert nearest_new(split, model, 5) == new[:5]
    shares = []
    for user in sorted(set(range(100)) - set(split.new_users.tolist())):
        rated = set(split.train[[user]].indices.tolist()) | set(new)
        first = sorted(set(range(160)) - rated, key=lambda i: (distances[user, i], i))[:10]
        shares.append(taste.suits()[user, first].mean())
    assert measure(data, split, model, taste, 0)[0]["taste"] == pytest.approx(np.mean(shares))
