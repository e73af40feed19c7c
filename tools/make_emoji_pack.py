"""Build the shipped emoji pack: `python tools/make_emoji_pack.py SOURCE.npz`; the checksum it prints goes to emoji.py.

SOURCE holds the pictures as WebP (rendered from npm fluentui-emoji 1.3.0 at 128 pixels with resvg), names, groups and
keywords (npm emojibase-data 17.0.0, more keywords from npm emojilib 4.0.3).  Arrays: webp uint8, offset; emoji, name,
group, subgroup, langs as text arrays; keywords__utf8 and name_i18n__utf8 as UTF-8 bytes with \\x1e between texts.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np

PACK = Path(__file__).parent.parent / "src/modalhash/datasets/packs/emoji.npz"


def pack(source: Path) -> dict[str, np.ndarray]:
    """The arrays of the pack: numbers and text arrays, nothing that needs pickle."""
    with np.load(source, allow_pickle=False) as file:
        kept = {key: file[key] for key in ("webp", "offset", "emoji", "name", "group", "subgroup", "langs")}
        texts = {key: file[f"{key}__utf8"].tobytes().decode("utf8").split("\x1e") for key in ("keywords", "name_i18n")}
    n = len(kept["emoji"])
    kept["keywords"] = np.array(texts["keywords"]).reshape(n)
    kept["names"] = np.array(texts["name_i18n"]).reshape(n, len(kept["langs"]))
    return kept


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
    sys.stdout.write(f"{arguments.out.name}: {len(arrays['emoji'])} pictures, {len(content)} bytes\n")
    sys.stdout.write(f"SHA-256 {hashlib.sha256(content).hexdigest()}\n")


if __name__ == "__main__":
    main()
