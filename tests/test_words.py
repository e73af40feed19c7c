"""Words that say something."""

from __future__ import annotations

import pytest

from modalhash.words import FUNCTION_WORDS, content_words, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The strings are not what I'd call warm, 100 times!", ["strings", "call", "warm", "times"]),
        ("It's a 12 string; don't.", ["string"]),
        ("Él está", ["el", "esta"]),
        ("猫", ["猫"]),
        ("x 5 a", []),
        ("", []),
    ],
)
def test_content_words(text: str, found: list[str]) -> None:
    assert content_words(text) == found


def test_function_words_are_words_as_they_are_cut() -> None:
    assert all(words(word) == [word] for word in FUNCTION_WORDS)
