"""What several tests of core share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.analysis.embedded import Embedded
from core.learning.events import StepDone
from core.runs import writing


@pytest.fixture(scope="module")
def one_thread():
    """Two threads on two busy cores wait for each other far longer than tiny tensors take to compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def runs(tmp_path) -> Path:
    """An empty folder of runs."""
    return tmp_path / "runs"


@pytest.fixture
def writer(tiny, digits, runs):
    """The writer of a run that has just been made."""
    made = writing.create(tiny, digits, runs)
    yield made
    made.close()


def step(number: int, steps: int = 3, epoch: int = 1, loss: float = 1.5) -> StepDone:
    """A step as a training tells of it."""
    return StepDone(epoch=epoch, step=number, steps=steps, loss=loss, diagnostics={"share": loss / 3})


def some_embedded(seed: int) -> Embedded:
    """Drawn embeddings and predictions of 48 training and 24 test images."""
    draw = np.random.default_rng(seed)
    train, test = (draw.normal(size=(count, 8)).astype(np.float32) for count in (48, 24))
    return Embedded(train, test, draw.integers(0, 4, 24), draw.random(24, np.float32))
