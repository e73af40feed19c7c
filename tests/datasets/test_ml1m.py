"""Films as posters and plots."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from outside_data import lines, needs

from modalhash.datasets import load_dataset
from modalhash.datasets.fair import tells
from modalhash.datasets.ml1m import genre_words
from modalhash.words import words


def poster(seed: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    rgb = np.random.default_rng(seed).integers(0, 256, (9, 6, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    n = 30
    posters = [b"" if i == 3 else poster(i) for i in range(n)]
    plots = ["" if i == 5 else f"A war hero number {i} meets a comedian in war {i % 4}" for i in range(n)]
    np.savez(
        tmp_path / "ml1m.npz",
        item_id=(np.arange(n) + 100).astype(np.uint16),
        genres=np.array(["War", "Comedy"]),
        genre_multihot=(np.arange(n)[:, None] % np.array([2, 3]) == 0).astype(np.uint8),
        poster_webp=np.frombuffer(b"".join(posters), dtype=np.uint8),
        poster_offset=np.cumsum([0, *map(len, posters)]).astype(np.uint32),
        has_poster=np.array([len(p) > 0 for p in posters]).astype(np.uint8),
        title__utf8=lines([f"Film {i}" for i in range(n)]),
        plot__utf8=lines(plots),
    )
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))
    return tmp_path


def test_films_with_a_poster_and_a_plot(small: Path) -> None:
    data = load_dataset("ml1m")
    assert len(data) == 28 and data.ids is not None and not {103, 105} & set(data.ids.tolist())
    i = data.ids.tolist().index(112)
    assert data.titles is not None and data.titles[i] == "Film 12" and data.raw["image"][i] == poster(12)
    assert data.raw["text"][i] == "hero number 12 meets comedian in"
    assert np.asarray(data.labels)[i].tolist() == [1, 1]
    whole = load_dataset("ml1m", fair=False, views=("text",))
    assert whole.raw["text"][i] == "A war hero number 12 meets a comedian in war 0" and list(whole.views) == ["text"]


@pytest.mark.parametrize(
    "word", ["war", "wars", "children", "romance", "romantic", "comedies", "sci", "fi", "noir", "animated", "thrillers"]
)
def test_genre_words(word: str) -> None:
    assert word in genre_words(["War", "Children's", "Romance", "Comedy", "Sci-Fi", "Film-Noir", "Thriller"])


@needs("ml1m")
def test_the_real_one() -> None:
    data = load_dataset("ml1m", views=("text",))
    assert len(data) == 3251 and np.asarray(data.labels).shape == (3251, 18) and data.label_names is not None
    told = genre_words(data.label_names)
    assert not [text for text in data.raw["text"] if text == "" or any(tells(word, told) for word in words(text))]
    assert len(data.split["query"]) == 650 and len(data.split["validation"]) == 325
    assert np.asarray(data.labels).any(axis=1).all()


@needs("ml1m")
@pytest.mark.slow
def test_the_real_posters() -> None:
    data = load_dataset("ml1m")
    assert data.views["image"].shape == (3251, 256) and np.isfinite(data.views["image"]).all()
