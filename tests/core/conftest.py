"""What several tests of core share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.analysis.embedded import Embedded
from core.learning.events import Event, StepDone
from core.runs import writing
from core.runs.store import Run
from tests.core import whole_runs


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


@pytest.fixture(scope="session")
def done(tiny, digits, tmp_path_factory) -> tuple[Run, list[Event]]:
    """A finished triplet run with some mistakes."""
    return whole_runs.train(tiny.changed(epochs=3, seed=1), digits, tmp_path_factory.mktemp("runs"))


def step(number: int, steps: int = 3, epoch: int = 1, loss: float = 1.5) -> StepDone:
    """A step as a training tells of it."""
    return StepDone(epoch=epoch, step=number, steps=steps, loss=loss, diagnostics={"share": loss / 3})


def some_embedded(seed: int) -> Embedded:
    """Drawn embeddings and predictions of 48 training and 24 test images."""
    draw = np.random.default_rng(seed)
    train, test = (draw.normal(size=(count, 8)).astype(np.float32) for count in (48, 24))
    return Embedded(train, test, draw.integers(0, 4, 24), draw.random(24, np.float32))


def damages(content: bytes) -> list[bytes]:
    """What may become of a file: nothing, something else, a part of it, all but a byte, another byte."""
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    return [b"", b"hello", content[: middle // 4], content[:middle], content[:-1], flipped]
