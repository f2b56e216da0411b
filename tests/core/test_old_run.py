"""A run folder made by the version of 26 November 2026 stays readable, and its run can go on.

Made with: python -m core train facenet-semi-hard --data DIGITS --set width=8 --set blocks=1,1 --set embedding_size=4
--set epochs=2 --set images_per_class=4 --set image_size=24 --set threads=1, on scikit-learn's digits.
"""

import shutil
from pathlib import Path

import pytest

from core import experiment
from core.dataset import sources
from core.learning.events import EpochDone, Resumed
from core.runs import store, writing

OLD = Path(__file__).parent / "fixtures" / "20261127-004200-facenet-semi-hard-eaf3"


@pytest.fixture
def old(tmp_path):
    return store.read(Path(shutil.copytree(OLD, tmp_path / "runs" / OLD.name)))


def test_its_files_are_read(old):
    assert (old.status, old.error, old.config.preset, old.config.epochs) == ("done", "", "facenet-semi-hard", 2)
    assert old.config.blocks == (1, 1)
    assert old.data.train == 1160
    history, steps, mistakes = store.history(old), store.steps(old), store.mistakes(old)
    assert history.epoch.tolist() == [1, 2]
    assert history.test_accuracy.iloc[-1] == pytest.approx(0.5276, abs=1e-4)
    assert len(steps) == 58
    assert len(mistakes) == old.result.mistakes == 274
    assert (old.result.alarm, old.result.alarm_kind) == ("", "")  # the kind was not kept then
    embedded = store.embedded(old, 2)
    assert embedded.train.shape == (1160, 4)
    assert old.result.test_accuracy == history.test_accuracy.iloc[-1]


def test_it_goes_on(old, tmp_path):
    images = sources.prepare(tmp_path / "set", source="digits")
    assert images.fingerprint == old.data.fingerprint
    with writing.reopen(old, images, add_epochs=1) as writer:
        events = list(experiment.run(writer, images))
    assert isinstance(events[0], Resumed)
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == [3]
    again = store.read(old.folder)
    assert (again.status, again.result.epochs) == ("done", 3)
    assert store.history(again).epoch.tolist() == [1, 2, 3]
    steps = store.steps(again)  # in the columns that it was begun with
    assert steps.epoch.tolist().count(3) == 29
    assert "valid_hard" not in steps
    assert "valid_hard" in store.history(again)
