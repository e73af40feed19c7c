"""Pictures that the page shows: what kind they are, and the one picture of the map."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.features.pictures import FORMATS
from modalhash.grids import KINDS

MAX_PIXELS = 64_000_000
WHITE = 240  # the darkest channel of a pixel that counts as white


def kind(picture: bytes) -> str:
    """The media type of an encoded picture, empty where it is none that a browser may be handed."""
    for head, name in KINDS.items():
        if picture.startswith(head) and (name != "webp" or picture[8:12] == b"WEBP"):
            return f"image/{name}"
    return ""


def as_text(picture: bytes) -> str:
    """A picture as text for `src`, empty for none."""
    return f"data:{kind(picture)};base64,{base64.b64encode(picture).decode()}" if kind(picture) else ""


def map_picture(shown: Sequence[bytes], cells: NDArray[np.int64], columns: int, rows: int, side: int = 36) -> bytes:
    """One WebP of all pictures in their cells, `side` pixels each; a dot stands for an item without a picture."""
    from PIL import Image, ImageDraw

    side = max(4, min(side, 8000 // max(columns, rows)))
    sheet = Image.new("RGBA", (columns * side, rows * side))
    pen = ImageDraw.Draw(sheet)
    for content, (x, y) in zip(shown, cells.tolist(), strict=True):
        corner = (x * side + 1, y * side + 1)
        small = _thumbnail(content, side - 2) if kind(content) else None
        if small is None:
            middle = (
                corner[0] + side // 3,
                corner[1] + side // 3,
                corner[0] + 2 * side // 3,
                corner[1] + 2 * side // 3,
            )
            pen.ellipse(middle, fill=(46, 158, 107, 255))
        else:
            sheet.paste(small, (corner[0] + (side - 2 - small.width) // 2, corner[1] + (side - 2 - small.height) // 2))
    target = io.BytesIO()
    sheet.save(target, "WEBP", quality=82, method=3)
    return target.getvalue()


def _thumbnail(content: bytes, side: int) -> Any:
    """A small copy, or None of what cannot be read: one damaged picture must not cost the map."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            opened.draft("RGB", (4 * side, 4 * side))
            clear = opened.has_transparency_data
            small = opened.convert("RGBA")
        small.thumbnail((4 * side, 4 * side))
        if not clear:
            small.putalpha(Image.fromarray(255 - 255 * white_around(np.asarray(small)).astype(np.uint8)))
        small.thumbnail((side, side))
    except Exception:  # decoders of hostile bytes raise nearly anything
        return None
    return small


def white_around(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The white that reaches the edge of a picture (height, width, channels): its ground, not a part of it."""
    from scipy.ndimage import binary_propagation

    white = pixels[:, :, :3].min(axis=2) >= WHITE
    edge = np.zeros_like(white)
    edge[[0, -1]] = white[[0, -1]]
    edge[:, [0, -1]] = white[:, [0, -1]]
    return np.asarray(binary_propagation(edge, mask=white))
