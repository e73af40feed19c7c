"""Opening pictures that come from anywhere: known formats only, a limit on pixels, one kind of error."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
ENCODED = (bytes, bytearray, memoryview)


def open_picture(source: Any, *, name: str, size: int, max_pixels: int) -> Image:
    """A picture as RGB of size x size pixels, transparent parts on white, turned as its EXIF entry says.

    source: encoded bytes (PNG, JPEG, WebP, GIF: the first frame), a path, or a PIL image, which is not written to.
    Raises ValueError naming the picture if it is broken or has more than max_pixels pixels, which is checked
    from its header before it is decoded; FileNotFoundError for a path that does not exist.
    """
    from PIL import Image, ImageOps

    if isinstance(source, Image.Image):
        picture = source
    elif isinstance(source, ENCODED):
        picture = _open(io.BytesIO(source), name)
    elif isinstance(source, str | os.PathLike):
        name = f"{name} ({os.fspath(source)})"
        picture = _open(source, name)
    else:
        raise TypeError(f"{name}: expected encoded bytes, a path or a PIL image, got {type(source).__name__}")
    width, height = picture.size
    if width * height > max_pixels:
        raise ValueError(f"{name}: has {width} x {height} pixels, more than the limit of {max_pixels}")
    try:
        if picture is not source:
            picture.draft("RGB", (2 * size, 2 * size))  # lets a JPEG file decode to a smaller picture
        turned = ImageOps.exif_transpose(picture)
        return _on_white(turned).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    except Exception as error:  # decoders of hostile bytes raise nearly anything
        raise ValueError(f"{name}: cannot be decoded ({error})") from error
    finally:
        if picture is not source:
            picture.close()


def _open(file: Any, name: str) -> Image:
    from PIL import Image

    try:
        return Image.open(file, formats=FORMATS)
    except FileNotFoundError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: has too many pixels ({error})") from error
    except Exception as error:  # as above
        raise ValueError(f"{name}: is no readable {', '.join(FORMATS)} picture ({error})") from error


def _on_white(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel; a plain conversion would cut off, not scale
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
