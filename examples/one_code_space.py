"""One code space: the same codes of films answer a picture, words and a user.

MDCF learns the codes of films from ratings, posters, plots and genres.  A poster alone, or words alone, are encoded by
the functions of their view (`encode_items`), and a user has a code of the same length; all three are searched in
`item_codes_`, the codes that ratings shaped.

    MODALHASH_DATA=folder-of-ml1m python examples/one_code_space.py
"""

from __future__ import annotations

import sys
from typing import Any

import modalhash as mh
from modalhash.datasets.ratings import Ratings, load_ratings

WORDS = ("a spaceship and an alien planet", "detective hunts a murderer", "a toy comes to life, for children")
FILMS = ("Star Wars: Episode IV - A New Hope (1977)", "Psycho (1960)")  # posters that search
USERS = (1, 10)


def learn(data: Ratings, n_bits: int = 64, seed: int = 0) -> mh.MDCF:
    """Codes of users and items from ratings and all views."""
    model = mh.MDCF(n_bits=n_bits, random_state=seed)
    return model.fit(data.ratings, data.user_views, data.item_views, user_ids=data.user_ids, item_ids=data.item_ids)


def by_view(model: mh.MDCF, data: Ratings, view: str, asked: Any, k: int) -> mh.Hits:
    """The items nearest to one raw picture or text, which is seen in one view only."""
    codes = model.encode_items({view: data.features[view].transform([asked])})
    return mh.Index.build(model.item_codes_, ids=model.item_ids_).search(codes, k)


def titles(model: mh.MDCF, data: Ratings, hits: mh.Hits) -> str:
    """Titles of the found items in a line."""
    shown = dict(zip(model.item_ids_.tolist(), data.titles or model.item_ids_.tolist(), strict=True))
    return ", ".join(str(shown[id_]) for id_ in hits.ids[0].tolist())


def main() -> int:
    """Learn from ml1m and print what a few pictures, words and users find."""
    try:
        data = load_ratings("ml1m")
    except FileNotFoundError as error:
        sys.stdout.write(f"skipped: {error}\n")
        return 0
    assert data.titles is not None and data.pictures is not None
    model = learn(data)
    for words in WORDS:
        sys.stdout.write(f"words “{words}”: {titles(model, data, by_view(model, data, 'plot', words, 5))}\n")
    for film in FILMS:
        poster = data.pictures[list(data.titles).index(film)]
        found = by_view(model, data, "poster", poster, 5)
        sys.stdout.write(f"poster of {film}: {titles(model, data, found)}\n")
    for user in USERS:
        sys.stdout.write(f"user {user}: {titles(model, data, model.recommend(user, 5))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
