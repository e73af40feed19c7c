"""Build the shipped clipart pack: `python tools/make_clipart_pack.py SOURCE.npz`; its checksum goes to clipart.py.

SOURCE holds the pictures of the Debian package openclipart-svg 1:0.18+dfsg-19 as WebP (rendered at 128 pixels with
rsvg-convert), path, title and tags as NAME__utf8 (UTF-8 bytes with \\x1e between texts), labels and label_names.
Pictures are made smaller here; everything else is kept as it is, noisy tags and items without a label included.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

PACK = Path(__file__).parent.parent / "src/modalhash/datasets/packs/clipart.npz"
SIZE, QUALITY = 112, 70


def pack(source: Path) -> dict[str, np.ndarray]:
    """The arrays of the pack: numbers and text arrays, nothing that needs pickle."""
    with np.load(source, allow_pickle=False) as file:
        kept = {key: file[key] for key in ("labels", "label_names")}
        for key in ("path", "title", "tags"):
            kept[key] = np.array(file[f"{key}__utf8"].tobytes().decode("utf8").split("\x1e"))
        blob, ends = file["webp"].tobytes(), file["offset"].tolist()
    pictures = [smaller(blob[start:stop]) for start, stop in pairwise(ends)]
    kept["webp"] = np.frombuffer(b"".join(pictures), dtype=np.uint8)
    kept["offset"] = np.cumsum([0, *map(len, pictures)], dtype=np.uint32)
    return kept


def smaller(content: bytes) -> bytes:
    """The picture at SIZE x SIZE pixels, as WebP."""
    picture = Image.open(io.BytesIO(content)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=6)
    return stream.getvalue()


def main() -> None:
    """Write the pack and say what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=PACK)
    arguments = parser.parse_args()
    arrays = pack(arguments.source)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, allow_pickle=False, **arrays)
    content = arguments.out.read_bytes()
    sys.stdout.write(f"{arguments.out.name}: {len(arrays['labels'])} pictures, {len(content)} bytes\n")
    sys.stdout.write(f"SHA-256 {hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    main()
