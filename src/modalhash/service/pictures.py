"""Pictures that come from outside: known formats, a limit on pixels before decoding, small copies to show."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from modalhash.service.problems import Problem

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("JPEG", "PNG", "WEBP")
SIDE = 256  # pixels of the longer side of a stored picture
TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


def guard_decoders(pixels: int) -> None:
    """Make Pillow itself refuse large pictures, in this whole process: a second line behind `check_picture`."""
    import warnings

    from PIL import Image

    Image.MAX_IMAGE_PIXELS = pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def check_picture(data: bytes, pixels: int) -> None:
    """Problem 422 unless the bytes begin as a picture of a known format with at most so many pixels."""
    _opened(data, pixels).close()


def picture_to_show(data: bytes, pixels: int) -> bytes:
    """A copy of at most 256 pixels a side, without metadata, as PNG or JPEG; Problem 422 if it cannot be decoded."""
    from PIL import ImageOps

    with _opened(data, pixels) as picture:
        try:
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            clear = picture.has_transparency_data
            turned = ImageOps.exif_transpose(picture).convert("RGBA" if clear else "RGB")
            turned.thumbnail((SIDE, SIDE))
            turned.info = {}
            stream = io.BytesIO()
            turned.save(stream, "PNG" if clear else "JPEG")
        except Exception as error:  # decoders of hostile bytes raise nearly anything
            raise Problem(422, "picture: cannot be decoded") from error
    return stream.getvalue()


def type_of(data: bytes) -> str:
    """The media type of a stored picture."""
    return next((name for start, name in TYPES.items() if data.startswith(start)), "application/octet-stream")


def _opened(data: bytes, pixels: int) -> Image:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Problem(422, f"picture: has more than {pixels} pixels") from None
    except Exception as error:  # as above
        raise Problem(422, f"picture: is no readable {', '.join(FORMATS)} picture") from error
    width, height = picture.size
    if width * height > pixels:
        picture.close()
        raise Problem(422, f"picture: has {width} x {height} pixels, more than the limit of {pixels}")
    return picture
