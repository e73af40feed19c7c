"""uci_mfeat: 2,000 handwritten digits in six views (UCI Multiple Features)."""

from __future__ import annotations

import numpy as np

from modalhash.datasets.dataset import Dataset
from modalhash.datasets.outside import read_outside
from modalhash.datasets.pack import stratified_split

SEED = 23  # of the split, fixed for good: figures stay comparable
VIEWS = ("fac", "fou", "kar", "mor", "pix", "zer")


def load_uci_mfeat() -> Dataset:
    """Handwritten digits, 200 of each, in six views of 216, 76, 64, 6, 240 and 47 columns.

    fac: profile correlations; fou: Fourier coefficients; kar: Karhunen-Loève coefficients; mor: morphology;
    pix: pixel averages; zer: Zernike moments.  labels (2000, 10) uint8.  The split is fixed and stratified by digit:
    20 % queries, 10 % validation (in the database, not in train).
    Read from `uci_mfeat.npz` in the folder that MODALHASH_DATA names; FileNotFoundError if it is not there.
    """
    kept = read_outside("uci_mfeat", ("y", *VIEWS))
    digits = kept["y"].astype(np.int64)
    return Dataset(
        name="uci_mfeat",
        views={name: kept[name] for name in VIEWS},
        labels=np.eye(10, dtype=np.uint8)[digits],
        label_names=[str(digit) for digit in range(10)],
        titles=[f"{digit} ({i})" for i, digit in enumerate(digits.tolist())],
        split=stratified_split(digits, query=0.2, validation=0.1, seed=SEED),
    )
