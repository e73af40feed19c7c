"""Training-free codes against their formula: signs of centred linear maps, summed over the views."""

from __future__ import annotations

import numpy as np
import pytest

import modalhash as mh

VIEWS = {name: 5 + np.random.default_rng(i).standard_normal((90, 8 + i)) for i, name in enumerate(("image", "text"))}


@pytest.mark.parametrize("name", ["LSH", "PCASign", "ITQ", "CCAITQ"])
def test_codes_are_signs_of_centred_projections(name: str) -> None:
    hasher = getattr(mh, name)(n_bits=6, random_state=0).fit(VIEWS)
    outputs = {view: (x - x.mean(axis=0)) @ hasher.functions_[view] for view, x in VIEWS.items()}
    np.testing.assert_array_equal(hasher.encode(VIEWS).signs(), np.where(sum(outputs.values()) >= 0, 1, -1))
    for view, output in outputs.items():
        np.testing.assert_array_equal(hasher.encode({view: VIEWS[view]}).signs(), np.where(output >= 0, 1, -1))


def test_sign_embedding_takes_the_first_dimensions() -> None:
    x = VIEWS["image"] - 5
    for threshold, level in (("zero", 0.0), ("mean", x.mean(axis=0)[:6])):
        codes = mh.SignEmbedding(n_bits=6, threshold=threshold).fit({"image": x}).codes_
        np.testing.assert_array_equal(codes.signs(), np.where(x[:, :6] >= level, 1, -1))
    with pytest.raises(ValueError, match="threshold"):
        mh.SignEmbedding(n_bits=6, threshold="median").fit({"image": x})
