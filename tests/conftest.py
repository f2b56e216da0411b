"""What several tests share: a small set of real digits, settings for a run of seconds, and the lab's own data."""

import atexit
import gc
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core.dataset import sources
from core.dataset.loader import SPLITS, DataSet, load
from core.settings.config import RunConfig

DIGITS = (0, 1, 7, 9)  # class numbers with a gap, so that a label and a class number are not the same

# Modules that take long, the longest first: each of two workers takes the next one when it is free
SLOW = [
    "test_faults",
    "test_plug",
    "test_workers",
    "test_train_browser",
    "test_form_browser",
    "test_browser",
    "test_embedding_browser",
    "test_components",
    "test_class",
    "test_try_it",
    "test_disconnected",
    "test_mistakes_browser",
    "test_classes_browser",
    "test_presets",
    "test_roles",
    "test_recipes",
    "test_pages",
    "test_race",
    "test_stopped_runs",
    "test_archives",
    "test_plain",
    "test_control",
    "test_rate_finding",
    "test_runs",
    "test_locks",
    "test_commands",
    "test_guard",
    "test_training",
    "test_racing",
    "test_fuzz",
    "test_shutdown",
]


def pytest_collection_finish() -> None:
    """A collection of garbage, as Streamlit asks for after each drawing, skips the libraries: it takes 0.3 s else."""
    import torch._dynamo  # noqa: F401 - every optimiser loads it

    gc.freeze()
    atexit.register(gc.unfreeze)  # the last one, at which they complain of leaks, does not


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slow modules first; of the quick ones the workers take what is left, so that they end together."""
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.stem, len(SLOW)))


def write_digits(folder: Path, train: int = 12, test: int = 6) -> DataSet:
    """A set of `train` and `test` images for each of DIGITS, 28x28, in folders named like the class numbers."""
    digits = load_digits()
    folder.mkdir(parents=True, exist_ok=True)
    lines = {split: ["id,name,class"] for split in SPLITS}
    for number in DIGITS:
        members = np.flatnonzero(digits.target == number)[: train + test]
        for place, index in enumerate(members):
            split = "train" if place < train else "test"
            file = folder / split / f"digit {number}" / f"{split}_{index:04d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            small = Image.fromarray((digits.images[index] * 15.9).astype(np.uint8))
            small.resize((28, 28), Image.Resampling.BICUBIC).save(file)
            lines[split].append(f"{file.stem},digit {number},{number}")
    for split in SPLITS:
        (folder / f"{split}.csv").write_text("\n".join(lines[split]) + "\n")
    return load(folder)


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_lab(tmp_path_factory):
    """Decoded sets are kept where they go away with the tests, also by the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPLETLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> DataSet:
    """Four classes with 12 training and 6 test images each."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def tiny() -> RunConfig:
    """Two epochs of three steps, in about a second."""
    return RunConfig(
        blocks=(1, 1),
        width=8,  # narrower ones crash torch 2.15 on processors without AVX-512
        embedding_size=8,
        triplets=24,
        batch_size=8,
        epochs=2,
        neighbours=3,
        precision="float32",
        threads=1,
    )


@pytest.fixture(scope="session")
def lab_data(tmp_path_factory) -> Path:
    """The lab's images where TRIPLETLAB_DATA names them, otherwise scikit-learn's digits."""
    if named := os.environ.get("TRIPLETLAB_DATA"):
        return Path(named)
    return sources.prepare(tmp_path_factory.mktemp("lab") / "mnist", "digits").folder
