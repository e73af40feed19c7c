"""Recommenders on the command line: fit, recommend, explain, as text and as JSON; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.catalog import RECOMMENDERS, is_recommender, make_recommender
from modalhash.datasets.ratings import Ratings, write_ratings
from recommender_contract import planted

Run = Callable[..., tuple[int, str, str]]
LINES = ["a,1,5,One", "a,2,1,Two\x1b[31m", "b,1,4,One", "b,3,5,Three", "c,2,5,", "c,3,1,", "d,1,5,", "d,3,4,"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ratings")
    (root / "r.csv").write_text("\n".join(["user,item,rating,title", *LINES]))
    (root / "bad.csv").write_text("user,item,rating\na,1,good")
    (root / "thesis").mkdir()
    (root / "thesis" / "thesis.txt").write_text("precious")
    p = planted()
    made = Ratings(name="p", ratings=p.ratings, user_views=p.user_views, item_views=p.item_views)
    write_ratings(made, root / "planted")
    mh.LSH(n_bits=8, random_state=0).fit({"x": np.eye(4)}).save(root / "lsh")
    mh.MDCF(n_bits=8, random_state=0).fit(p.ratings, p.user_views, p.item_views).save(root / "untitled")
    mh.MDCF(n_bits=8, random_state=0).fit(p.ratings).save(root / "damaged")
    (root / "damaged" / "titles.json").write_text('{"format": 1, "titles": ["one"]}')
    return root


def both(run: Run, *words: str) -> tuple[str, Any]:
    code, text, error = run(*words)
    assert (code, error) == (0, ""), error
    code, told, error = run(*words, "--json")
    assert (code, error) == (0, "") and told.count("\n") == 1
    return text, json.loads(told)


def test_the_whole_line_from_a_csv(run: Run, tmp_path: Path) -> None:
    model = str(tmp_path / "model")
    text, facts = both(run, "fit", "MDCF", "--data", "r.csv", "--bits", "8", "--out", model, "--seed", "3")
    assert text.startswith("MDCF, 8 bits: learned from 8 ratings of 3 items by 4 users in ") and model in text
    assert {**facts, "seconds": 0} == {
        "model": model, "system": "MDCF", "bits": 8, "users": 4, "items": 3, "ratings": 8, "reviews": 0,
        "seconds": 0,
    }  # fmt: skip
    assert mh.load(model).random_state == 3 and not mh.load(model).verbose
    text, facts = both(run, "recommend", model, "--user", "a")
    hits = mh.load(model).recommend("a", 10)
    assert facts == {"user": "a", "hits": [{"id": 3, "title": "Three", "distance": int(hits.distances[0, 0])}]}
    assert "Three" in text and "bits that differ, of 8" in text
    text, facts = both(run, "recommend", model, "--user", "a", "--seen", "-k", "2")
    assert len(facts["hits"]) == 2 and "\x1b" not in text
    text, facts = both(run, "explain", model, "--user", "a", "--item", "3")
    found = mh.load(model).explain("a", 3)
    assert facts["score"] == found.score and facts["bits"] == found.bits.tolist() and facts["n_bits"] == 8
    assert sum(ground["share"] for ground in facts["grounded"]) == pytest.approx(found.score)
    assert f"{len(found.bits)} of 8 bits agree" in text and "3 (Three) for user a" in text and "\x1b" not in text
    assert {row["title"] for row in facts["grounded"]} == {None, "One", "Two\x1b[31m"}  # what the user has rated


def test_views_and_variants_reach_the_model(run: Run, tmp_path: Path) -> None:
    words = ("--data", "planted", "--bits", "8", "--out", str(tmp_path / "m"), "--set", "max_iter=3")
    text, facts = both(run, "fit", "MDCF-zero", *words)
    assert facts["system"] == "MDCF-zero" and facts["users"] == 60
    model = mh.load(tmp_path / "m")
    assert (model.unrated, model.max_iter) == (0.0, 3) and len(model.item_widths_) == 2
    text, facts = both(run, "explain", str(tmp_path / "m"), "--user", "5", "--item", "1")
    assert {row["source"] for row in facts["grounded"]} >= {f"view {name!r}" for name in model.item_widths_}
    text, facts = both(run, "recommend", str(tmp_path / "m"), "--user", "5", "-k", "3")
    assert [hit["id"] for hit in facts["hits"]] == model.recommend(5, 3).ids[0].tolist()
    assert facts["user"] == 5 and facts["hits"][0]["title"] is None and "title" not in text


def test_the_real_valued_twin_says_what_its_distance_is(run: Run, tmp_path: Path) -> None:
    words = ("--data", "r.csv", "--bits", "2", "--out", str(tmp_path / "m"), "--json")
    assert run("fit", "MDCF-real", *words)[0] == 0
    text, facts = both(run, "recommend", str(tmp_path / "m"), "--user", "b")
    assert "minus the inner product" in text and isinstance(facts["hits"][0]["distance"], float)


def test_who_has_rated_everything(run: Run, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("user,item,rating\n1,1,5\n1,2,1\n2,1,3")
    assert run("fit", "MDCF", "--data", str(tmp_path / "all.csv"), "--bits", "2", "--out", str(tmp_path / "m"))[0] == 0
    text, facts = both(run, "recommend", str(tmp_path / "m"), "--user", "1")
    assert facts["hits"] == [] and text == "nothing is left to recommend: the user has rated every item\n"


REVIEWED = [
    'ann,1,5,Warm strings,"Lovely warm tone. They stay in tune."',
    'ann,2,4,Case,"Sturdy case with a warm lining."',
    'bob,1,5,Warm strings,"Nice.I did like the warm\x1b[31m tone."',
    "bob,3,1,Pick,",
    'cid,2,5,Case,"Strong. The lining is warm... and soft."',
    'cid,3,2,Pick,"Broke at once."',
]


def test_reviews_are_quoted_and_marked(run: Run, tmp_path: Path) -> None:
    data, model = tmp_path / "r.csv", str(tmp_path / "m")
    data.write_text("\n".join(["user,item,rating,title,review", *REVIEWED]))
    assert run("fit", "MDCF", "--data", str(data), "--bits", "4", "--out", model)[0] == 0
    text, facts = both(run, "explain", model, "--user", "ann", "--item", "1")
    quoted = [row for row in facts["grounded"] if row["quoted"]]
    assert [row["text"] for row in quoted] == ["I did like the warm\x1b[31m tone.", "Nice."]
    assert quoted[0]["source"] == "review by user bob, sentence 2 of 2" and quoted[0]["words"] == ["warm"]
    assert facts["generated"] is None and sum(row["share"] for row in facts["grounded"]) == pytest.approx(
        facts["score"]
    )
    assert "quoted from reviews of the item:\n  “I did like the warm" in text and "\x1b" not in text
    assert "(review by user bob, sentence 2 of 2; words in common: warm)" in text and "written" not in text
    assert "Lovely" not in text  # what ann wrote of it herself
    _, facts = both(run, "explain", model, "--user", "ann", "--item", "1", "--quotes", "1")
    assert len([row for row in facts["grounded"] if row["quoted"]]) == 1
    text, facts = both(run, "explain", model, "--user", "ann", "--item", "1", "--quotes", "0")
    assert "quoted from" not in text and not any(row["quoted"] for row in facts["grounded"])
    np.savez(tmp_path / "m" / "reviews.npz", users=[9], items=[0], texts=["a"])
    code, out, error = run("explain", model, "--user", "ann", "--item", "1")
    assert (code, out) == (2, "") and "reviews.npz: reviews: users must lie in 0…2, got 9…9" in error


def test_what_edcf_writes_and_what_it_quotes_stand_apart(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    data, model = tmp_path / "r.csv", tmp_path / "m"
    data.write_text("\n".join(["user,item,rating,title,review", *REVIEWED]))
    words = ("--data", str(data), "--bits", "8", "--out", str(model), "--set", "epochs=1")
    text, facts = both(run, "fit", "EDCF", *words)
    assert "6 ratings and 5 reviews of 3 items" in text and facts["reviews"] == 5
    assert {path.name for path in model.iterdir()} == {"model.json", "arrays.safetensors", "titles.json"}
    text, facts = both(run, "explain", str(model), "--user", "ann", "--item", "1", "--quotes", "1")
    quoted = [row["text"] for row in facts["grounded"] if row["quoted"]]
    assert len(quoted) == 1 and quoted[0] in ("I did like the warm\x1b[31m tone.", "Nice.")
    assert facts["generated"] and "written by the model, nobody said so:" in text and "quoted from reviews" in text
    assert sum(row["share"] for row in facts["grounded"]) == pytest.approx(facts["score"])
    more = [f"u{word},1,4,Strings,A {word} sound." for word in ("good", "bad", "dull", "clear", "rich", "thin")]
    data.write_text("\n".join(["user,item,rating,title,review", *REVIEWED, *more]))
    both(run, "fit", "EDCF", *words[:4], "--out", str(tmp_path / "more"), "--set", "epochs=1")
    for asked, got in (("0", 0), ("5", 5), ("99", 8)):  # none but those of others, none twice
        _, facts = both(run, "explain", str(tmp_path / "more"), "--user", "ann", "--item", "1", "--quotes", asked)
        assert len({row["text"] for row in facts["grounded"] if row["quoted"]}) == got


def test_a_written_sentence_is_marked_as_such() -> None:
    from modalhash.cli_text import explanation_text

    ground = {"source": "codes", "text": "2 of 4 bits agree", "share": 0.5, "quoted": False, "words": [], "title": None}
    facts = {"user": 1, "item": 2, "title": None, "score": 0.5, "in_words": "…", "generated": "A warm tone."}
    told = explanation_text({**facts, "grounded": [ground]})
    assert "written by the model, nobody said so:\n  A warm tone." in told and "quoted" not in told
    assert "reason" not in explanation_text({**facts, "grounded": []})


def test_systems_lists_recommenders(run: Run) -> None:
    text, facts = both(run, "systems")
    assert [row["name"] for row in facts["recommenders"]] == list(RECOMMENDERS)
    assert all(row["summary"] in text for row in facts["recommenders"]) and "MDCF-zero" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "fit MDCF --data nowhere --out new",
            "nowhere: is neither known ratings (ml1m, amazon_musical_instruments) nor an existing path",
        ),
        ("fit MDCF --data bad.csv --out new", "bad.csv: line 2: expected a rating as a number, got 'good'"),
        ("fit MDCF --data r.csv --out thesis", "thesis: holds other files"),
        ("fit MDCF --data r.csv --out new --set low=2", "1 is outside the range 2 to 5"),
        ("fit MDCF --data r.csv --out new --set n_bits=9", "--bits"),
        ("fit MDCF --data r.csv --out new --set colour=9", "MDCF: has no parameter 'colour'"),
        (
            "fit EDCF --data r.csv --out new",
            "EDCF: needs reviews, and r.csv holds none (a CSV has them in a column named",
        ),
        ("fit MDCF-none --data r.csv --out new", "unknown system 'MDCF-none'; known: "),
        ("recommend untitled --user x", "--user: ids are integers, got 'x'"),
        ("recommend untitled --user 99", "--user: unknown ids 99"),
        ("recommend untitled --user " + "9" * 30, "--user: ids are integers"),
        ("explain untitled --user 1 --item 99", "--item: unknown ids 99"),
        ("recommend lsh --user 1", "lsh: holds a LSH model, which does not recommend"),
        ("explain lsh --user 1 --item 1", "lsh: holds a LSH model, which does not recommend"),
        ("recommend nowhere --user 1", "model.json: not found"),
        ("recommend damaged --user 1", "titles.json: expected 40 titles, one an item"),
        ("encode untitled --data planted --out new", "untitled: holds a recommender, MDCF; its verbs are recommend"),
        ("evaluate untitled --data planted", "untitled: holds a recommender"),
        ("index untitled --data planted --out new", "untitled: holds a recommender"),
        ("demo --data r.csv --out new", "--data: needs --recommend"),
        ("demo --recommend --bits 8,16 --out new", "--bits: expected one length"),
        ("demo --recommend --data nowhere --out new", "nowhere: is neither"),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_bad_input_is_one_line_on_stderr(run: Run, place: Path, line: str, message: str, extra: list[str]) -> None:
    code, out, error = run(*line.split(), *extra)
    assert (code, out) == (2, "") and message in error
    assert error.startswith("modalhash: ") and error.count("\n") == 1
    assert not (place / "new").exists() and (place / "thesis" / "thesis.txt").read_text() == "precious"


def test_variants_are_made_by_name() -> None:
    assert is_recommender("MDCF-zero") and not is_recommender("MDCF-none") and not is_recommender("A2LH")
    assert make_recommender("MDCF-zero", n_bits=4).get_params()["unrated"] == 0
    with pytest.raises(ValueError, match=r"unknown recommender 'A2LH'; known: MDCF"):
        make_recommender("A2LH")
