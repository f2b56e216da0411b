"""Small real data sets for all tests."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve each other on busy cores

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core import data, sources
from core.config import RunConfig
from core.data import DataSet


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> DataSet:
    """Four classes of scikit-learn's digits, 28x28: 12 training and 6 test images each, on disk in the lab's layout."""
    folder = tmp_path_factory.mktemp("digits")
    raw = load_digits()
    for split, first, last in (("train", 0, 12), ("test", 12, 18)):
        rows = []
        for label in range(4):
            (folder / split / str(label)).mkdir(parents=True)
            for index in np.flatnonzero(raw.target == label)[first:last]:
                small = Image.fromarray((raw.images[index] * 255 / 16).astype(np.uint8))
                name = f"digits_{split}_{index}"
                small.resize((28, 28), Image.Resampling.BICUBIC).save(folder / split / str(label) / f"{name}.png")
                rows.append((name, str(label), label))
        pd.DataFrame(rows, columns=["id", "name", "class"]).to_csv(folder / f"{split}.csv", index=False)
    return data.load(folder)


@pytest.fixture(scope="session")
def tiny() -> RunConfig:
    """A run that takes a fraction of a second."""
    network = {"architecture": "resnet", "blocks": (1, 1), "width": 4, "embedding_size": 8}
    training = {"objective": "triplet", "triplets": 24, "batch_size": 8, "epochs": 2, "neighbours": 3}
    return RunConfig(**network, **training, precision="float32", threads=1)


@pytest.fixture(scope="session")
def lab_data(tmp_path_factory) -> Path:
    """The folder in TRIPLETLAB_DATA, or scikit-learn's digits."""
    if given := os.environ.get("TRIPLETLAB_DATA"):
        return Path(given)
    return sources.prepare(tmp_path_factory.mktemp("lab"), "digits").folder
