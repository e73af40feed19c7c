"""Sentences are cut where a reader would, and nothing is added to or lost from a text."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modalhash.recommend.sentences import LONGEST, split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("  \n ", []),
        ("...", []),
        ("?! -- *", []),
        ("Good", ["Good"]),
        ("Good. Bad.", ["Good.", "Bad."]),
        ("no capitals here. none at all. done", ["no capitals here.", "none at all.", "done"]),
        ("What? Yes! Really?! Fine.", ["What?", "Yes!", "Really?!", "Fine."]),
        ("It is great.The price is fine.I like it!Very much.", None),
        (
            "Dr. Smith and Mrs. Jones came. J. S. Bach did not.",
            ["Dr. Smith and Mrs. Jones came.", "J. S. Bach did not."],
        ),
        ("Cables, e.g. this one, i.e. it, vs. that. Two.", ["Cables, e.g. this one, i.e. it, vs. that.", "Two."]),
        ("So did I. They left.", ["So did I.", "They left."]),
        ("Made in the U.S. and sold. Here.", ["Made in the U.S. and sold.", "Here."]),
        ("Well... it works... Mostly.", ["Well... it works...", "Mostly."]),
        ("Well… it works… Mostly.", ["Well… it works…", "Mostly."]),
        ("It costs $9.99 for 3.5 mm. Version 2.0 is out.", ["It costs $9.99 for 3.5 mm.", "Version 2.0 is out."]),
        ("It is 6 in. long and 2 ft. wide. Good.", ["It is 6 in. long and 2 ft. wide.", "Good."]),
        ("I said no. Five broke. See no. 5.", ["I said no.", "Five broke.", "See no. 5."]),
        ("See www.example.com.Then buy at x@y.com. Ok.", ["See www.example.com.Then buy at x@y.com.", "Ok."]),
        ('"Nice!" he said. "Buy it." I did.', ['"Nice!" he said.', '"Buy it."', "I did."]),
        ("Is it (really?) so? (Yes.) Fine.", ["Is it (really?) so?", "(Yes.)", "Fine."]),
        ("1. Take it out\n2. Plug it in", ["1. Take it out", "2. Plug it in"]),
        ("wrapped\nline. Next\n\nparagraph", ["wrapped\nline.", "Next", "paragraph"]),
        ("它很好。我喜欢！真的？是", ["它很好。", "我喜欢！", "真的？", "是"]),
        ("とても良い。「はい。」と言った", ["とても良い。", "「はい。」", "と言った"]),
        ("यह अच्छा है। बहुत बढ़िया।", ["यह अच्छा है।", "बहुत बढ़िया।"]),
        ("هل هو جيد؟ نعم.", ["هل هو جيد؟", "نعم."]),
        ("Prima Kabel, z.B. dieses. Günstig!", ["Prima Kabel, z.B. dieses.", "Günstig!"]),
        ("Très bien ! Vraiment ?", ["Très bien !", "Vraiment ?"]),
        ("Bardzo dobry.Ładny.", ["Bardzo dobry.Ładny."]),  # a stop without a space counts before plain capitals only
    ],
)
def test_where_sentences_end(text: str, sentences: list[str] | None) -> None:
    wanted = ["It is great.", "The price is fine.", "I like it!", "Very much."] if sentences is None else sentences
    assert split_sentences(text) == wanted


def test_long_runs_are_cut_at_commas_else_at_spaces_else_anywhere() -> None:
    for text in ("word " * 300, "some words, " * 100, "x" * 1500):
        found = split_sentences(text)
        assert all(0 < len(sentence) <= LONGEST for sentence in found) and len(found) > 2
        assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence.endswith("words,") for sentence in split_sentences("some words, " * 100))
    assert all(set(sentence.split()) == {"word"} for sentence in split_sentences("word " * 300))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aB1 .!?…。\n\"')(,-I", max_size=120) | st.text(max_size=60))
def test_sentences_are_pieces_of_the_text_in_order(text: str) -> None:
    at = 0
    for sentence in split_sentences(text):
        at = text.index(sentence, at) + len(sentence)
        assert sentence == sentence.strip() and len(sentence) <= LONGEST
    letters = sum(sign.isalnum() for sign in text)
    assert sum(sign.isalnum() for sentence in split_sentences(text) for sign in sentence) == letters


@pytest.mark.parametrize("piece", [" ", ".", ".'", "\n ", '("', "ab.a", "www.", "。", "1", "Mr. "])
def test_time_grows_with_the_length_only(piece: str) -> None:
    started = process_time()
    split_sentences(piece * (200_000 // len(piece)) + "x")
    assert process_time() - started < 5
