"""Pictures that the page shows: what kind they are, small copies of what was uploaded."""

from __future__ import annotations

import base64
import io

from modalhash.features.pictures import FORMATS, open_picture
from modalhash.grids import KINDS

SIZE = 128  # pixels a side of what the page keeps of an upload
MAX_PIXELS = 64_000_000


def kind(picture: bytes) -> str:
    """The media type of an encoded picture, empty where it is none that a browser may be handed."""
    for head, name in KINDS.items():
        if picture.startswith(head) and (name != "webp" or picture[8:12] == b"WEBP"):
            return f"image/{name}"
    return ""


def small_copy(picture: bytes, size: int = SIZE) -> bytes:
    """A WebP copy of an uploaded picture, `size` pixels on its longer side; nothing else of the file is kept.

    Raises ValueError for what is no readable picture, or has too many pixels.
    """
    from PIL import Image, ImageOps

    open_picture(picture, name="the picture", size=8, max_pixels=MAX_PIXELS)
    target = io.BytesIO()
    with Image.open(io.BytesIO(picture), formats=FORMATS) as opened:
        turned = ImageOps.exif_transpose(opened).convert("RGBA")
    turned.thumbnail((size, size))
    turned.save(target, "WEBP", quality=90)
    return target.getvalue()


def as_text(picture: bytes) -> str:
    """A picture as text for `src`, empty for none."""
    return f"data:{kind(picture)};base64,{base64.b64encode(picture).decode()}" if kind(picture) else ""
