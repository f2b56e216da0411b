"""A run's network asked again, about its own images and those of a folder."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from core.evaluation import evaluate_run
from core.runs import store, writing
from core.runs.files import StoreError
from core.settings.setting import ConfigError
from tests.core.whole_runs import predictions


def test_the_test_folder_gives_the_headline(done, digits):
    run, _ = done
    own, folder = (evaluate_run(run, given, None, None) for given in (None, digits.folder / "test"))
    assert own == folder
    assert own["accuracy"] == run.result.test_accuracy == own["correct"] / own["total"]
    confusion, table = np.array(own["confusion"]), predictions(run)
    for row, true in enumerate(digits.class_numbers):
        for column, predicted in enumerate(digits.class_numbers):
            assert confusion[row, column] == ((table.true == true) & (table.predicted == predicted)).sum()
    assert 0 <= own["map_at_r"] <= own["r_precision"] <= 1


def test_images_of_one_class(done, digits, tmp_path):
    """Class folders in the layout of test/; not every class has to be there, and other sizes are fitted."""
    run, _ = done
    for file in (digits.folder / "test" / digits.classes[2]).iterdir():
        target = tmp_path / digits.classes[2] / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    result = evaluate_run(run, tmp_path, None, None)
    of_class = predictions(run).query(f"true == {digits.class_numbers[2]}")
    assert (result["correct"], result["total"]) == ((of_class.true == of_class.predicted).sum(), 6)
    assert np.array(result["confusion"]).sum(axis=1).tolist() == [0, 0, 6, 0]
    for file in tmp_path.rglob("*.png"):
        with Image.open(file) as image:
            image.resize((14, 14)).save(file)
    assert evaluate_run(run, tmp_path, None, None)["total"] == 6


def test_training_images_are_their_own_nearest(done, digits):
    result = evaluate_run(done[0], digits.folder / "train", "knn", 1)
    assert result["accuracy"] == result["precision_at_1"] == 1


def test_other_images_are_refused(done, digits, tmp_path):
    run, _ = done
    copy = tmp_path / "copy"
    shutil.copytree(digits.folder, copy)
    moved = dataclasses.replace(run, data=run.data.changed(folder=str(copy)))
    assert evaluate_run(moved, None, None, None)["accuracy"] == run.result.test_accuracy
    lines = (copy / "train.csv").read_text().splitlines()
    (copy / "train.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(StoreError, match="trained on other images"):
        evaluate_run(moved, None, None, None)


def test_wrong_questions(done):
    run, _ = done
    with pytest.raises(ConfigError, match="there are only 48 training images"):
        evaluate_run(run, None, "knn", 49)
    assert evaluate_run(run, None, "knn", 48)["total"] == 24
    with pytest.raises(ConfigError, match="has no class head; use --classifier knn or centre"):
        evaluate_run(run, None, "softmax", None)


def test_the_gallery_is_that_of_the_weights(done, tmp_path):
    """Also after a kill between the files of an epoch: embeddings one epoch ahead, run.json one behind the weights."""
    run, _ = done
    copy = dataclasses.replace(run, folder=tmp_path / run.id, result=run.result.changed(epochs=2))
    shutil.copytree(run.folder, copy.folder)
    before = evaluate_run(run, None, None, None)
    stored = store.embedded(run, 3)
    with writing.RunWriter(copy.folder) as writer:
        writer.save_embedded(4, stored._replace(train=stored.train[::-1]))
    assert evaluate_run(copy, None, None, None) == before
