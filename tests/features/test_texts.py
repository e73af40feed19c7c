"""Tfidf: words of many languages, weights, gaps, folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from modalhash.features import GradientColour, Tfidf, load_extractor
from modalhash.features.texts import topics
from modalhash.views import check_views, missing
from modalhash.words import words

TEXTS = ["a red cat", "the red dog", "cat and dog", "Ein roter Hund", "the dog sleeps", "el perro rojo", "perro y gato"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Über  ÉTÉ, naïve!", ["uber", "ete", "naive"]),
        ("Straße ＡＢＣ ﬁn", ["strasse", "abc", "fin"]),
        ("snake_case x-ray 42", ["snake", "case", "x", "ray", "42"]),
        ("Ёлка й", ["ёлка", "й"]),
        ("दाँत दिखाता।", ["दाँत", "दिखाता"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("활짝 웃는", ["활짝", "웃는"]),
        ("嘿嘿", ["嘿", "嘿", "嘿嘿"]),
        ("がく", ["が", "く", "がく"]),
        ("猫cat", ["猫", "cat"]),
        ("แมว", ["แ", "ม", "ว", "แม", "มว"]),
        ("😀 !? ", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_the_same_word_in_two_encodings_is_one() -> None:
    assert words("caf\u00e9") == words("cafe\u0301") == ["cafe"]
    assert words("\u0439") == words("\u0438\u0306")
    assert words("\u304c") == words("\u304b\u3099")


def test_pieces_of_words() -> None:
    assert words("Cats", (3, 4)) == ["cats", "#<ca", "#cat", "#ats", "#ts>", "#<cat", "#cats", "#ats>"]
    assert words("a", (2, 5)) == ["a", "#<a", "#a>", "#<a>"]
    assert words("猫", (1, 2)) == ["猫"]


@pytest.mark.parametrize("sublinear", [True, False])
def test_weights_against_the_formula(sublinear: bool) -> None:
    texts = [*TEXTS, "cat cat cat dog dog"]
    extractor = Tfidf(n_topics=None, min_df=1, sublinear=sublinear, ngrams=None)
    matrix = extractor.fit_transform(texts)
    counts = np.array([[words(text).count(word) for word in extractor.vocabulary_] for text in texts], dtype=np.float64)
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 1
    weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) if sublinear else counts
    weights = weights * idf
    expected = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    assert matrix.dtype == np.float32 and matrix.format == "csr"
    assert np.allclose(matrix.toarray(), expected, atol=1e-6)


def test_rare_words_and_the_size_limit() -> None:
    assert Tfidf(n_topics=None, min_df=2, ngrams=None).fit(TEXTS).vocabulary_ == ["cat", "dog", "perro", "red", "the"]
    assert Tfidf(n_topics=None, min_df=1, max_features=1, ngrams=None).fit(TEXTS).vocabulary_ == ["dog"]


def test_row_of_one_is_the_row_of_many() -> None:
    extractor = Tfidf(n_topics=None, min_df=1, ngrams=(2, 4)).fit(TEXTS)
    many = extractor.transform(TEXTS).toarray()
    for i, text in enumerate(TEXTS):
        assert np.array_equal(extractor.transform([text]).toarray()[0], many[i])


def test_text_without_a_known_word_is_a_missing_row() -> None:
    extractor = Tfidf(n_topics=None, min_df=1, ngrams=None).fit(TEXTS)
    matrix = extractor.transform(["", "cat", "unheard", "the dog", "!?"])
    assert missing(matrix).tolist() == [True, False, True, False, True]
    assert np.diff(matrix.indptr).tolist() == [1, 1, 1, 2, 1]
    check_views({"text": matrix})
    assert np.array_equal(matrix[[1, 3]].toarray(), extractor.transform(["cat", "the dog"]).toarray())
    assert missing(extractor.transform(["", ""])).all()


def test_fit_uses_the_given_rows_only() -> None:
    extractor = Tfidf(n_topics=None, min_df=1, ngrams=None)
    matrix = extractor.fit_transform(TEXTS, [0, 1])
    assert extractor.vocabulary_ == ["a", "cat", "dog", "red", "the"]
    assert matrix.shape == (7, 5) and missing(matrix).tolist() == [False, False, False, True, False, True, True]


@pytest.mark.parametrize("ngrams", [None, (3, 5)])
def test_save_and_load_give_the_same_rows(tmp_path: Path, ngrams: tuple[int, int] | None) -> None:
    extractor = Tfidf(n_topics=None, min_df=1, ngrams=ngrams).fit([*TEXTS, "猫 दाँत"])
    extractor.save(tmp_path / "text")
    loaded = load_extractor(tmp_path / "text")
    assert isinstance(loaded, Tfidf) and loaded.ngrams == ngrams and loaded.min_df == 1
    a, b = extractor.transform([*TEXTS, "猫", ""]), loaded.transform([*TEXTS, "猫", ""])
    assert np.array_equal(a.toarray(), b.toarray(), equal_nan=True) and a.dtype == b.dtype
    assert not list((tmp_path / "text").glob("*.p*kl*"))


def test_a_second_fit_forgets_the_first() -> None:
    extractor = Tfidf(n_topics=None, min_df=1, ngrams=None).fit(TEXTS)
    extractor.transform(TEXTS)
    assert extractor.fit(["one two"]).transform(["two cat"]).toarray().tolist() == [[0.0, 1.0]]


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    Tfidf(n_topics=None, min_df=1, ngrams=None).fit(TEXTS).save(tmp_path / "text")
    path = tmp_path / "text" / "extractor.json"
    good = json.loads(path.read_text())
    for words_ in (["cat"], "cat", [1, 2], ["dog"] * 17):
        path.write_text(json.dumps(good | {"state": {"vocabulary_": {"value": words_}}}))
        with pytest.raises(ValueError, match=r"extractor\.json"):
            load_extractor(tmp_path / "text")
    path.write_text(json.dumps(good))
    with pytest.raises(ValueError, match="holds a 'Tfidf' extractor, not 'GradientColour'"):
        GradientColour.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError, match=r"extractor\.json"):
        load_extractor(tmp_path)


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        Tfidf(n_topics=None, min_df=1, ngrams=None).fit(TEXTS).save(tmp_path)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        Tfidf(n_topics=None).transform(TEXTS)
    with pytest.raises(TypeError, match="sequence of texts"):
        Tfidf(n_topics=None).fit("one text")
    with pytest.raises(TypeError, match="text 1: expected a str, got NoneType"):
        Tfidf(n_topics=None).fit(["a", None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no word"):
        Tfidf(n_topics=None).fit(["", "!?"])
    with pytest.raises(ValueError, match="no word"):
        Tfidf(n_topics=None).fit(["one", "six"])
    with pytest.raises(ValueError, match="ngrams"):
        Tfidf(n_topics=None, ngrams=(4, 3)).fit(TEXTS)
    with pytest.raises(TypeError, match="ngrams"):
        Tfidf(n_topics=None, ngrams=3).fit(TEXTS)  # type: ignore[arg-type]


def test_pieces_let_inflected_and_misspelt_words_find() -> None:
    extractor = Tfidf(n_topics=None, min_df=1).fit(TEXTS)
    likeness = (extractor.transform(TEXTS) @ extractor.transform(["Hunde", "perros"]).T).toarray()
    assert likeness[:, 0].argmax() == 3 and likeness[:, 1].argmax() in (5, 6)
    assert missing(Tfidf(n_topics=None, min_df=1, ngrams=None).fit(TEXTS).transform(["Hunde", "perros"])).all()


TOPICAL = [
    "red apple fruit",
    "green pear fruit",
    "sweet fruit",
    "fast red car",
    "old car wheel",
    "car engine wheel",
] * 3


def test_topics_give_rows_of_length_one_and_missing_rows_without_known_words() -> None:
    extractor = Tfidf(n_topics=2, ngrams=None, min_df=1).fit(TOPICAL)
    rows = extractor.transform([*TOPICAL, "", "unknown"])
    assert rows.shape == (20, 2) and rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows[:18], axis=1), 1, rtol=1e-6)
    assert missing(rows).tolist() == [False] * 18 + [True, True]


def test_topics_bring_words_of_one_kind_together() -> None:
    extractor = Tfidf(n_topics=2, ngrams=None, min_df=1).fit(TOPICAL)
    apple, pear, wheel = extractor.transform(["apple", "pear", "wheel"])
    assert apple @ pear > 0.9 > 0.5 > apple @ wheel


def test_topics_are_the_leading_singular_directions_by_either_route() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 40, 12)) for _ in range(60)]
    weights = Tfidf(n_topics=None, ngrams=None, min_df=1).fit(texts).transform(texts)
    right = np.linalg.svd(weights.toarray().astype(np.float64), full_matrices=False)[2][:5]
    found = topics(weights, 5).T.astype(np.float64)
    np.testing.assert_allclose(np.abs(np.sum(found * right, axis=1)), 1, atol=1e-6)
    assert topics(weights[:4], 9).shape == (weights.shape[1], 4)  # fewer texts than topics


def test_topics_are_saved_and_one_row_is_the_row_of_many(tmp_path: Path) -> None:
    extractor = Tfidf(n_topics=3, min_df=1).fit(TOPICAL)
    extractor.save(tmp_path / "text")
    rows = load_extractor(tmp_path / "text").transform(TOPICAL)
    np.testing.assert_array_equal(rows, extractor.transform(TOPICAL))
    np.testing.assert_array_equal(rows[4], extractor.transform([TOPICAL[4]])[0])
