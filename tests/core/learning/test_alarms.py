"""Every alarm is raised by numbers made for it, names its remedy, and stays silent for healthy ones."""

import math
from types import SimpleNamespace

import pytest

from core.learning import alarms
from core.settings.config import RunConfig

MARGIN = RunConfig(margin=2.0)
SOFT = RunConfig(triplet_loss="soft_margin")
BOTH = RunConfig(objective="cross_entropy_triplet", margin=2.0)
CLASSIFIER = RunConfig(objective="cross_entropy")
CONTRASTIVE = RunConfig(objective="supervised_contrastive")
LEARNING = {"spread": 7.0, "triplet_loss": 0.8, "active_fraction": 0.3, "anchors_left_out": 0.0}


def alarm(config: RunConfig, done) -> str:
    """The text of the alarm, or an empty one; it begins with its kind."""
    found = alarms.alarm(config, done, class_count=10)
    assert found is None or found.text.startswith(f"{found.kind}: ")
    return found.text if found else ""


def epoch(train=0.9, test=0.88, validation=None, **diagnostics) -> SimpleNamespace:
    """An epoch's numbers; healthy ones unless others are given."""
    seen = LEARNING | diagnostics
    return SimpleNamespace(
        train_accuracy=train,
        test_accuracy=test,
        validation_accuracy=validation,
        diagnostics=seen,
        train_loss=0.8 + diagnostics.get("triplet_loss", 0.0),
        epoch=2,
        steps=11,
    )


@pytest.mark.parametrize("config", [MARGIN, SOFT, BOTH, CLASSIFIER, CONTRASTIVE])
def test_healthy_numbers_raise_none(config):
    assert alarm(config, epoch()) == ""
    assert alarm(config, epoch(train=0.1, test=0.1)) == ""  # at the beginning
    assert alarm(config, epoch(train=1.0, test=0.97)) == ""  # at the end
    assert alarm(config, epoch(train=0.99, test=0.98, active_fraction=0.01, triplet_loss=0.004)) == ""


def test_objectives_without_triplets_need_no_diagnostics_of_them():
    for config, diagnostics in ((CLASSIFIER, {}), (CONTRASTIVE, {"spread": 7.0})):
        done = SimpleNamespace(**vars(epoch()) | {"diagnostics": diagnostics})
        assert alarm(config, done) == ""


@pytest.mark.parametrize(
    ("config", "resting"),
    [
        (MARGIN, 2.0),
        (RunConfig(margin=0.2), 0.2),
        (RunConfig(margin=0.0), 0.0),
        (SOFT, math.log(2)),
        (RunConfig(triplet_loss="soft_margin", margin=5.0), math.log(2)),  # the margin has no effect
        (BOTH, 2.0),
    ],
)
def test_collapsed(config, resting):
    for share in (0.95, 1.0, 1.05):
        text = alarm(config, epoch(spread=0.02, triplet_loss=share * resting, active_fraction=1.0, train=0.1))
        assert text.startswith("collapsed: ")
        assert f"{resting:.2f}" in text
        assert "spread 0.02" in text
        assert "Lower “Learning rate”" in text
        assert "the accuracy may look high" in text
        assert "all triplets" not in text  # has no effect on these triplets
    assert alarm(config, epoch(spread=3.0, triplet_loss=resting)) == ""  # at the margin, but not one point
    assert alarm(config, epoch(spread=0.02, triplet_loss=resting + 0.5)) == ""  # near each other, yet not resting


def test_collapsed_where_the_selection_finds_nothing():
    config = RunConfig(selection="semi_hard")
    gone = dict(spread=0.02, triplet_loss=0.0, active_fraction=0.0, train=0.1)
    text = alarm(config, epoch(**gone, anchors_left_out=80.0))
    assert text.startswith("collapsed: ")
    assert "no triplet is semi-hard" in text
    assert alarm(config, epoch(**gone | {"spread": 5.0}, anchors_left_out=80.0)).startswith("starved: ")


def test_collapsed_after_all_triplets_names_all_first():
    text = alarm(RunConfig(selection="batch_hard", all_first=2), epoch(spread=0.02, triplet_loss=2.0))
    assert "Lower “Learning rate” or raise “Begin with all triplets for”." in text


@pytest.mark.parametrize("objective", ["triplet", "cross_entropy_triplet"])
@pytest.mark.parametrize(
    ("values", "named"),
    [
        (
            dict(selection="drawn", sampling="random_triplets"),
            {"batch-hard", "mean over active", "raise “Margin”", "warp the images"},
        ),
        (
            dict(selection="drawn", sampling="random_triplets", triplet_loss="soft_margin"),
            {"batch-hard", "warp the images"},
        ),
        (dict(selection="all", triplet_mean="active"), {"batch-hard", "raise “Margin”", "warp the images"}),
        (dict(selection="batch_hard", triplet_mean="active", augmentation="affine"), {"raise “Margin”"}),
        (dict(selection="semi_hard", augmentation="affine"), {"raise “Margin”"}),
        (dict(selection="semi_hard", triplet_loss="soft_margin", augmentation="affine"), {"raise “Margin”"}),
        (dict(selection="batch_hard", triplet_loss="soft_margin", augmentation="affine"), {"end the training"}),
    ],
)
def test_starved_names_what_would_change_something(objective, values, named):
    text = alarm(RunConfig(objective=objective, **values), epoch(active_fraction=0.0005, triplet_loss=0.001))
    assert text.startswith("starved: ")
    assert "0.05%" in text
    remedies = {"batch-hard", "mean over active", "raise “Margin”", "warp the images", "end the training"}
    assert {name for name in remedies if name in text.lower().replace("“margin”", "“Margin”")} == named


def test_what_is_learnt_is_not_starved():
    assert alarm(MARGIN, epoch(active_fraction=0.0, triplet_loss=0.0, train=1.0, test=0.99)) == ""  # nothing to learn
    assert alarm(CLASSIFIER, epoch(active_fraction=0.0)) == ""


@pytest.mark.parametrize("config", [MARGIN, SOFT, BOTH, CLASSIFIER, CONTRASTIVE])
def test_overfitted(config):
    text = alarm(config, epoch(train=0.999, test=0.8))
    assert text.startswith("overfitted: ")
    assert "99.9%" in text
    assert "80.0% of the test images" in text
    assert "arp the images (“Augmentation”)" in text
    assert alarm(config, epoch(train=0.98, test=0.8)) == ""  # not known by heart
    assert alarm(config, epoch(train=0.999, test=0.96)) == ""


def test_overfitted_is_told_by_the_validation_images_where_there_are_some():
    text = alarm(CLASSIFIER, epoch(train=1.0, test=0.99, validation=0.7))
    assert "70.0% of the validation images" in text
    assert alarm(CLASSIFIER, epoch(train=1.0, test=0.7, validation=0.99)) == ""
    assert alarm(CLASSIFIER, epoch(train=1.0, test=0.99, validation=0.0)).startswith("overfitted: ")  # 0 is a number


def test_the_worst_comes_first():
    assert alarm(MARGIN, epoch(train=1.0, test=0.2, spread=0.1, triplet_loss=2.0)).startswith("collapsed: ")


def test_an_alarm_is_one_line():
    for done in (epoch(spread=0.0, triplet_loss=2.0), epoch(active_fraction=0.0), epoch(train=1.0, test=0.1)):
        text = alarm(MARGIN, done)
        assert text.endswith(".")
        assert "\n" not in text


def test_collapsed_without_triplets():
    text = alarm(CONTRASTIVE, epoch(spread=0.1))
    assert text.startswith("collapsed: ")
    assert "spread 0.10 of 10" in text
    assert "ower “Learning rate”" in text
    assert alarm(CONTRASTIVE, epoch(spread=0.6)) == alarm(CLASSIFIER, epoch(spread=0.1)) == ""


@pytest.mark.parametrize(
    ("config", "of_triplets"),
    [(CLASSIFIER, 0.0), (RunConfig(objective="cross_entropy_triplet", triplet_weight=0.5), 4.0)],
)
def test_diverged(config, of_triplets):
    done = epoch(train=0.1, test=0.1, triplet_loss=of_triplets)
    for loss, rings in ((2.2, False), (2.39, False), (2.6, True), (1e18, True)):
        done.train_loss = loss + 0.5 * of_triplets
        text = alarm(config, done)
        assert text.startswith("diverged: ") == rings == bool(text)
        assert f"the loss is {loss:.3g}, " in text or not rings
        assert f"Lower “Learning rate” (it is {config.learning_rate:g})" in text or not rings
        assert alarm(CONTRASTIVE, done) == ""  # its loss has another scale
    done.train_loss = 3.0 + 0.5 * of_triplets
    assert alarms.alarm(config, done, class_count=47) is None


def test_guessing():
    done = epoch(train=0.1, test=0.1)
    for loss, rings in ((math.log(10), True), (2.29, True), (2.2, False)):
        done.train_loss = loss
        assert alarm(CLASSIFIER, done).startswith("guessing: ") == rings
    done.train_loss = math.log(10)
    assert "larger or smaller “Learning rate”" in alarm(CLASSIFIER, done)
    assert alarm(CLASSIFIER, SimpleNamespace(**vars(done) | {"train_accuracy": 0.4})) == ""  # it has begun to learn
    assert alarm(CLASSIFIER, SimpleNamespace(**vars(done) | {"steps": 5})) == ""  # hardly begun
    assert alarm(CONTRASTIVE, done) == ""


def test_equal_pictures_are_not_cured_by_a_setting():
    guessing = epoch(train=0.1, test=0.1)
    guessing.train_loss = math.log(10)
    one_point = epoch(spread=0.0, triplet_loss=2.0, active_fraction=1.0, train=0.1, test=0.1)
    for config, done in ((CLASSIFIER, guessing), (MARGIN, one_point), (CONTRASTIVE, one_point)):
        found = alarms.alarm(config, done, class_count=10, equal_images=True)
        assert "All training images are the same picture" in found.text
        assert "“" not in found.text


def test_a_fresh_network_may_guess_badly():
    done = epoch(train=0.1, test=0.1)
    done.train_loss = 1.1 * math.log(10)
    assert alarm(CLASSIFIER, done)
    done.steps = 10
    assert alarm(CLASSIFIER, done) == ""
    done.train_loss = 2.1 * math.log(10)
    assert alarm(CLASSIFIER, done)
