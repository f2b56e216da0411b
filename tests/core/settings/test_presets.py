"""The recipes: every one builds and learns; what a run is called and what was changed in it."""

import math

import numpy as np
import pytest

from core import experiment
from core.dataset import loader
from core.learning.events import EpochDone, StepDone
from core.runs import store, writing
from core.settings import config, presets
from core.settings.choices import ARCHITECTURES, SAMPLINGS
from core.settings.config import RunConfig
from core.settings.presets import PRESETS, from_preset
from core.settings.rules import check_data
from tests.core.settings.fields import FIELDS, error_of

pytestmark = pytest.mark.usefixtures("one_thread")

SHEET = {"densenet52": (2, 2, 4, 16), "densenet39": (2, 5, 4, 6), "resnext32": (3, 3, 3)}


# Each preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_only_known_settings(name):
    made = from_preset(name)
    assert made.preset == name
    assert set(PRESETS[name].values) <= set(FIELDS)
    for key, value in PRESETS[name].values.items():
        assert getattr(made, key) == value


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_sets_has_an_effect(name):
    values = dict(from_preset(name))
    assert [key for key in PRESETS[name].values if not config.applies(FIELDS[key], values)] == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_in_a_line_what_to_expect(name):
    preset = PRESETS[name]
    for text in (preset.title, preset.expect):
        assert text == text.strip()
        assert text
        assert "\n" not in text
    assert preset.expect.endswith(".")


def test_titles_differ():
    assert len({preset.title for preset in PRESETS.values()}) == len(PRESETS)
    settings = [from_preset(name).changed(preset="") for name in PRESETS]
    assert len(set(settings)) == len(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_the_labs_data(name):
    for classes, images in ((10, 200), (10, 116)):  # MNIST's part and scikit-learn's digits
        check_data(from_preset(name), dict.fromkeys(range(classes), images))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_two_steps(name, few_images, tmp_path):
    made = from_preset(name)
    smaller = {"batch_size": 16} if made.batches == "shuffled" else {}  # a quarter of the seconds
    with writing.create(made.changed(**smaller), few_images, tmp_path) as writer:
        running = experiment.run(writer, few_images)
        steps = [next(running), next(running)]
        running.close()
    assert [(type(event), event.step) for event in steps] == [(StepDone, 1), (StepDone, 2)]
    assert all(math.isfinite(event.loss) for event in steps)
    assert steps[0].loss != steps[1].loss


@pytest.mark.parametrize(
    ("name", "alarm", "changes"),
    [
        ("collapse", "collapsed", {"epochs": 3}),
        ("learning-rate-too-high", "diverged", {"epochs": 2}),
        # 50 images are learnt here, not 200: as many steps of fewer images, which have to be shorter
        ("overfit", "overfitted", {"batch_size": 4, "learning_rate": 0.02, "epochs": 7}),
    ],
)
def test_a_preset_that_fails_on_purpose_raises_its_alarm(name, alarm, changes, few_images, tmp_path):
    made = from_preset(name, threads=1, **changes)
    with writing.create(made, few_images, tmp_path) as writer:
        done = [event for event in experiment.run(writer, few_images) if isinstance(event, EpochDone)]
    assert alarm in [event.alarm_kind for event in done]
    assert all(event.alarm.startswith(f"{event.alarm_kind}: ") for event in done if event.alarm_kind)
    run = store.read(writer.folder)
    assert run.result.alarm_kind == done[-1].alarm_kind
    assert store.history(run)["alarm_kind"].fillna("").tolist() == [event.alarm_kind for event in done]


@pytest.fixture(scope="module")
def few_images(lab_data) -> loader.DataSet:
    """50 training and 10 test images of each of the lab's ten digits."""
    images = loader.load(lab_data)

    def some(split: loader.Split, count: int) -> loader.Split:
        rows = np.concatenate([np.flatnonzero(split.labels == label)[:count] for label in range(10)])
        ids, files = ([values[row] for row in rows] for values in (split.ids, split.files))
        return loader.Split(split.images[rows], split.labels[rows], tuple(ids), tuple(files))

    numbers = dict(zip(images.classes, images.class_numbers, strict=True))
    return loader.assemble(
        images.folder, numbers, some(images.train, 50), some(images.test, 10), "folder", "few images"
    )


# The lab sheet's recipes


def test_the_lab_sheets_metric_learner():
    facenet = from_preset("facenet")
    assert (facenet.architecture, facenet.blocks, facenet.objective) == ("resnet", (2, 2, 2, 2), "triplet")
    assert (facenet.embedding_size, facenet.triplets, facenet.neighbours) == (128, 8000, 5)
    assert (facenet.batches, facenet.counted, facenet.triplet_loss) == ("random_triplets", "drawn", "margin")
    assert (facenet.predicts, facenet.margin, facenet.triplet_mean) == ("knn", 2.0, "all")


@pytest.mark.parametrize("name", SHEET)
def test_the_lab_sheets_classifiers(name):
    made = from_preset(name)
    assert made.blocks == SHEET[name]
    assert (made.objective, made.batches, made.predicts) == ("cross_entropy", "shuffled", "softmax")
    assert made.augmentation == "crop_flip"
    assert (made.learning_rate, made.schedule, made.decay_factor, made.decay_every) == (0.01, "step", 10, 50)
    assert (made.optimiser, made.batch_size, made.momentum, made.weight_decay) == ("sgd", 64, 0.9, 5e-4)


# A preset with changes


def test_from_preset_with_changes():
    made = from_preset("facenet", epochs=1, margin=0.5)
    assert made == from_preset("facenet").changed(epochs=1, margin=0.5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_another_architecture_brings_its_blocks(architecture):
    for name in PRESETS:
        made, own = from_preset(name, architecture=architecture), from_preset(name)
        assert made.architecture == architecture
        assert made.blocks == (own.blocks if own.architecture == architecture else ARCHITECTURES[architecture].blocks)


def test_given_blocks_win_over_those_of_the_architecture():
    assert from_preset("facenet", architecture="resnext", blocks=(1, 2)).blocks == (1, 2)


def test_unknown_presets_and_settings_are_refused_by_name():
    assert error_of(from_preset, "facenext") == "there is no preset 'facenext'; did you mean facenet?"
    assert all(name in error_of(from_preset, "???") for name in PRESETS)
    assert "nothing" in error_of(from_preset, "facenet", nothing=1)
    assert "architecture" in error_of(from_preset, "facenet", architecture="vgg")


# What a run is called


def test_changes_and_title():
    made = from_preset("facenet", epochs=1, margin=0.5)
    assert presets.changes(made) == {"margin": 0.5, "epochs": 1}
    assert presets.title(made) == "FaceNet, margin 0.5, epochs 1"
    assert presets.title(from_preset("facenet")) == "FaceNet"
    blocks = from_preset("resnext32", blocks=(1, 1), objective="triplet")
    assert presets.title(blocks) == "ResNeXt-32 (16x8d), blocks 1-1, objective triplet"
    assert presets.title(from_preset("densenet39", augmentation="none")) == "DenseNet-39, augmentation none"
    assert presets.title(from_preset("facenet", objective="cross_entropy")) == "FaceNet, objective cross entropy"
    chosen = dict(sampling="chosen_triplets", positive_classes=(3, 5), negative_classes=(8,))
    assert presets.title(from_preset("facenet", **chosen)) == (
        "FaceNet, sampling chosen triplets, positive classes 3-5, negative classes 8"
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_as_it_is_has_no_changes(name):
    assert presets.changes(from_preset(name)) == {}
    assert presets.title(from_preset(name)) == PRESETS[name].title


def test_settings_without_an_effect_are_no_changes():
    made = from_preset("densenet52", margin=5.0, width=8, cardinality=2, embedding_size=4, growth_rate=13)
    assert presets.changes(made) == {"growth_rate": 13}
    assert presets.changes(made.changed(objective="triplet", blocks=(2, 2, 4, 16))) == {
        "growth_rate": 13,
        "objective": "triplet",
        "embedding_size": 4,
        "margin": 5.0,
    }


@pytest.mark.parametrize("sampling_name", sorted(set(SAMPLINGS) - {"auto", "chosen_triplets"}))
def test_what_changes_names_makes_the_same_run(sampling_name):
    """The title of a run leaves nothing out: the changes alone lead from the preset to what the run does."""
    made = from_preset("facenet", sampling=sampling_name, width=16, chosen_share=0.5, images_per_class=4)
    again = from_preset("facenet", **presets.changes(made))
    assert presets.changes(again) == presets.changes(made)
    assert (again.batches, again.counted, again.predicts) == (made.batches, made.counted, made.predicts)


def test_a_run_without_a_known_preset_is_compared_with_the_defaults():
    assert presets.title(RunConfig()) == "custom"
    assert presets.title(RunConfig(preset="of last year", epochs=7)) == "of last year, epochs 7"
