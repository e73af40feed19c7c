"""GradientColour: what it promises about rows, gaps, broken pictures and folders."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalhash.features import GradientColour, load_extractor
from modalhash.features.images import WIDTH, colour_histograms, describe, gradients, leading_directions

RNG = np.random.default_rng(0)


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PICTURES = [encoded(picture(seed)) for seed in range(24)]


@pytest.fixture(scope="module")
def fitted() -> GradientColour:
    return GradientColour(n_components=10).fit(PICTURES)


def test_shape_and_type(fitted: GradientColour) -> None:
    rows = fitted.transform(PICTURES)
    assert rows.shape == (24, 10) and rows.dtype == np.float32 and np.isfinite(rows).all()


def test_row_of_one_is_the_row_of_many(fitted: GradientColour) -> None:
    many = fitted.transform(PICTURES)
    for i in range(len(PICTURES)):
        assert np.array_equal(fitted.transform(PICTURES[i : i + 1])[0], many[i])


def test_bytes_path_and_image_give_the_same_row(fitted: GradientColour, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PICTURES[0])
    rows = fitted.transform([PICTURES[0], bytearray(PICTURES[0]), path, str(path), picture(0)])
    assert (rows == rows[0]).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_is_read(fitted: GradientColour, kind: str) -> None:
    row = fitted.transform([encoded(picture(3), kind)])[0]
    near = np.linalg.norm(fitted.transform(PICTURES) - row, axis=1)
    assert near.argmin() == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_truncated_picture_is_refused_by_position(fitted: GradientColour, kind: str) -> None:
    whole = encoded(picture(3, (200, 200)), kind)
    for length in (len(whole) // 2, 30, 5, 1):
        with pytest.raises(ValueError, match="picture 1: "):
            fitted.transform([PICTURES[0], whole[:length]])


def test_random_damage_never_raises_anything_but_value_error(fitted: GradientColour) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        whole = np.frombuffer(encoded(picture(3), kind), dtype=np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[RNG.integers(0, len(whole), 5)] = RNG.integers(0, 256, 5)
            try:
                rows = fitted.transform([damaged.tobytes()])
            except ValueError as error:
                assert "picture 0" in str(error)
            else:
                assert np.isfinite(rows).all()


def test_file_that_is_no_picture_is_named(fitted: GradientColour, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("not a picture")
    with pytest.raises(ValueError, match=r"picture 0 \(.*note\.txt\)"):
        fitted.transform([path])
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        fitted.transform([tmp_path / "gone.png"])


def test_other_formats_are_refused(fitted: GradientColour) -> None:
    with pytest.raises(ValueError, match="picture 0: is no readable PNG, JPEG, WEBP, GIF"):
        fitted.transform([encoded(picture(0), "BMP")])


def test_pixel_limit_is_checked_from_the_header() -> None:
    extractor = GradientColour(max_pixels=1200)
    assert extractor.describe([encoded(picture(0, (40, 30)))]).shape == (1, WIDTH)
    huge = bytearray(encoded(picture(0, (40, 31))))
    with pytest.raises(ValueError, match="picture 0: has 40 x 31 pixels, more than the limit of 1200"):
        extractor.describe([bytes(huge[:60])])  # no pixel data at all: only the header is read
    with pytest.raises(ValueError, match="40 x 31"):
        extractor.describe([picture(0, (40, 31))])


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for size in ((11, 10), (40, 30)):  # Pillow's own warning, and its own error
        with pytest.raises(ValueError, match="picture 0: has too many pixels"):
            GradientColour().describe([encoded(picture(0, size))])


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    white, black = Image.new("RGB", (20, 20), "white"), Image.new("RGB", (20, 20), "black")
    palette = clear.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = bytes(256)
    rows = GradientColour().describe([encoded(clear), encoded(white), palette, encoded(black)])
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[2], rows[1])
    assert not np.array_equal(rows[0], rows[3])


def test_every_mode_is_read() -> None:
    base = picture(1)
    deep = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
    rows = GradientColour().describe([encoded(base.convert("L")), encoded(deep), encoded(base.convert("CMYK"), "JPEG")])
    assert np.allclose(rows[0], rows[1], atol=1e-6) and np.isfinite(rows).all()
    for mode in ("1", "LA", "P", "RGBA"):
        assert np.isfinite(GradientColour().describe([encoded(base.convert(mode))])).all()


def test_exif_turn_is_followed() -> None:
    base = picture(1, (64, 64))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    turned = encoded(base.rotate(180), "PNG", exif=exif)
    assert np.array_equal(*GradientColour().describe([turned, encoded(base)]))


def test_empty_picture_is_a_missing_row(fitted: GradientColour) -> None:
    rows = fitted.transform([b"", PICTURES[0]])
    assert np.isnan(rows[0]).all() and np.isfinite(rows[1]).all()
    with_gap = GradientColour(n_components=10).fit([b"", *PICTURES])
    assert np.array_equal(with_gap.transform(PICTURES), fitted.transform(PICTURES))
    with pytest.raises(ValueError, match="every picture is missing"):
        GradientColour().fit([b"", b""])


def test_fit_transform_learns_from_the_given_rows_only() -> None:
    rows = [0, 2, 3, 5, 7, 8]
    expected = GradientColour().fit([PICTURES[i] for i in rows])
    extractor = GradientColour()
    assert np.array_equal(extractor.fit_transform(PICTURES, rows), expected.transform(PICTURES))
    assert np.array_equal(extractor.mean_, expected.mean_)


def test_fit_reads_at_most_max_rows() -> None:
    few = GradientColour(max_rows=6).fit(PICTURES)
    assert np.array_equal(few.mean_, GradientColour().fit(PICTURES[::4]).mean_)
    assert np.array_equal(GradientColour(max_rows=6).fit_transform(PICTURES), few.transform(PICTURES))


def test_learned_directions_are_uncorrelated_and_ordered(fitted: GradientColour) -> None:
    rows = fitted.transform(PICTURES).astype(np.float64)
    assert np.allclose(rows.mean(axis=0), 0, atol=1e-6)
    covariance = rows.T @ rows / len(rows)
    assert np.allclose(covariance, np.diag(np.diagonal(covariance)), atol=1e-6)
    assert (np.diff(np.diagonal(covariance)) <= 1e-9).all()


def test_every_block_weighs_the_same() -> None:
    rows = GradientColour(n_components=1009).fit(PICTURES).transform(PICTURES).astype(np.float64)
    assert np.isclose(rows.var(axis=0).sum(), 4, atol=1e-4)  # four blocks, each of variance 1
    extractor = GradientColour().fit(PICTURES)
    described = extractor.describe(PICTURES).astype(np.float64) - extractor.mean_
    whole = described[:, :576] / np.sqrt((described[:, :576] ** 2).sum(axis=1).mean())
    assert np.allclose(rows @ rows.T - whole @ whole.T, _likeness(described[:, 576:]), atol=1e-4)


def _likeness(centred: np.ndarray) -> np.ndarray:
    parts = np.split(centred, [144, 416], axis=1)
    return np.asarray(sum(part @ part.T / (part**2).sum(axis=1).mean() for part in parts))


def test_directions_have_a_fixed_sign_and_skip_empty_ones() -> None:
    directions = leading_directions(np.diag([1.0, 0.0, 3.0]), 3)
    assert np.allclose(directions, [[0, 1], [0, 0], [1, 0]])
    assert GradientColour().fit(PICTURES[:4]).projection_.shape[1] == 3
    assert GradientColour().fit(PICTURES[:1] * 3).transform(PICTURES[:1]).shape == (1, 1)


def test_save_and_load_give_the_same_rows(fitted: GradientColour, tmp_path: Path) -> None:
    fitted.save(tmp_path / "image")
    loaded = load_extractor(tmp_path / "image")
    assert isinstance(loaded, GradientColour) and loaded.n_components == 10
    assert np.array_equal(loaded.transform(PICTURES), fitted.transform(PICTURES))


def test_damaged_folders_are_named(fitted: GradientColour, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    fitted.save(folder)
    path = folder / "extractor.json"
    good = json.loads(path.read_text())
    for change in ({"class": "Other"}, {"params": {"nothing": 1}}, {"params": {"size": "big"}}, {"format": 99}):
        path.write_text(json.dumps(good | change))
        with pytest.raises(ValueError, match=r"extractor\.json"):
            load_extractor(folder)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"extractor\.json"):
        load_extractor(folder)
    path.write_text(json.dumps(good))
    (folder / "arrays.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"arrays\.safetensors"):
        load_extractor(folder)


def test_bad_calls_are_refused(fitted: GradientColour) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        GradientColour().transform(PICTURES)
    with pytest.raises(TypeError, match="sequence of pictures"):
        fitted.transform(PICTURES[0])
    with pytest.raises(TypeError, match="picture 0: expected encoded bytes"):
        fitted.transform([3])
    with pytest.raises(ValueError, match="at least one"):
        fitted.transform([])
    with pytest.raises(ValueError, match="multiple of 8"):
        GradientColour(size=20).fit(PICTURES)


def slow_histogram(values: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Pixel by pixel, as the text says it."""
    size = len(values)
    sums = np.zeros((8, 8, bins))
    for y in range(size):
        for x in range(size):
            low = int(np.floor(values[y, x]))
            part = values[y, x] - low
            cell = sums[y * 8 // size, x * 8 // size]
            cell[low % bins] += (1 - part) * weights[y, x]
            cell[(low + 1) % bins] += part * weights[y, x]
    return sums


def test_histograms_against_a_slow_twin() -> None:
    import colorsys

    rgb = RNG.random((16, 16, 3)).astype(np.float32)
    hue = np.array([[colorsys.rgb_to_hsv(*map(float, pixel))[0] * 12 for pixel in row] for row in rgb])
    chroma, bright = rgb.max(axis=2) - rgb.min(axis=2), rgb.max(axis=2)
    found = colour_histograms(rgb)
    assert np.allclose(found[:, :, :12], slow_histogram(hue, chroma, 12), atol=1e-4)
    assert np.allclose(found[:, :, 12:], slow_histogram(bright * 4, 1 - chroma, 5), atol=1e-4)
    grey = (rgb @ [0.299, 0.587, 0.114]).astype(np.float64)
    across, down = np.zeros((16, 16)), np.zeros((16, 16))
    across[:, 1:-1], down[1:-1] = grey[:, 2:] - grey[:, :-2], grey[2:] - grey[:-2]
    angle = np.mod(np.arctan2(down, across), np.pi) / np.pi * 9
    assert np.allclose(gradients(rgb), slow_histogram(angle, (across**2 + down**2) ** 0.25, 9), atol=1e-3)


def test_edges_fall_into_the_bin_of_their_direction() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.float32)
    stripes[:, ::4] = 1.0
    upright = gradients(stripes).sum(axis=(0, 1))
    lying = gradients(stripes.transpose(1, 0, 2)).sum(axis=(0, 1))
    assert upright[0] > 0.9 * upright.sum() and lying[[4, 5]].sum() > 0.9 * lying.sum()


def test_blocks_have_length_one_and_a_plain_picture_no_edges() -> None:
    row = describe(np.asarray(picture(0, (64, 64))))
    parts = np.split(row, [576, 720, 992])
    assert np.allclose([np.linalg.norm(part) for part in parts], 1, atol=1e-6)
    values = np.asarray(picture(0, (64, 64)), dtype=np.float32) / np.float32(255)
    edges, colours = gradients(values), colour_histograms(values)
    expected = [
        edges,
        edges[::2, ::2] + edges[1::2, ::2] + edges[::2, 1::2] + edges[1::2, 1::2],
        colours[::2, ::2] + colours[1::2, ::2] + colours[::2, 1::2] + colours[1::2, 1::2],
        colours.sum(axis=(0, 1)),
    ]
    for part, sums in zip(parts, expected, strict=True):
        assert np.allclose(part, np.sqrt(sums.ravel() / sums.sum()), atol=1e-6)
    plain = describe(np.full((64, 64, 3), 200, dtype=np.uint8))
    assert not plain[:720].any() and np.isfinite(plain).all()
