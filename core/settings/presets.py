"""Named recipes: what each is for, what to expect of it, and the settings that differ from RunConfig's defaults."""

from dataclasses import dataclass
from functools import cache, lru_cache

from core.settings.choices import ARCHITECTURES
from core.settings.config import RunConfig, applies, settings
from core.settings.setting import ConfigError
from core.settings.text import written
from core.settings.words import nearest


@dataclass(frozen=True)
class Preset:
    """A recipe; `expect` says in one line what will happen and why."""

    title: str
    expect: str
    values: dict


# The lab sheet's classifiers
_SHEET = dict(
    objective="cross_entropy",
    epochs=20,
    batch_size=64,
    learning_rate=0.01,
    decay_factor=10.0,
    decay_every=50,
    momentum=0.9,
    weight_decay=5e-4,
    augmentation="crop_flip",
)
# A ResNet-18 of a quarter of the width, narrow enough for a lesson
_SLIM = dict(architecture="resnet", width=16, channels=1, image_size=28)
# Metric learners that are compared at 20,000 images seen
_LESSON = _SLIM | dict(objective="triplet", learning_rate=0.008, epochs=10, schedule="cosine")
_BALANCED = _LESSON | dict(sampling="balanced", images_per_class=8)
# The most accurate ones: warped images, averaged weights, one long cycle
_BEST = dict(image_size=28, channels=1, batch_size=32, epochs=40, optimiser="adamw", learning_rate=0.004)
_BEST |= dict(weight_decay=0.01, weight_average=0.99, label_smoothing=0.1)
_BEST |= dict(schedule="one_cycle", augmentation="affine_elastic")
_QUICK = _SLIM | dict(objective="cross_entropy", blocks=(1, 1, 1, 1), batch_size=32)

NEUTRAL = "facenet"  # the preset without values of its own: RunConfig's defaults

PRESETS = {
    "quick": Preset(
        "Quick look",
        "A narrow ResNet that learns to name the class from warped images: about 98.5 % within a minute.",
        _QUICK
        | dict(optimiser="adamw", learning_rate=0.006, batch_size=48)
        | dict(schedule="one_cycle", augmentation="affine", epochs=9),
    ),
    "facenet": Preset(
        "FaceNet",
        "The lab sheet's metric learner: ResNet-18, embedding 128, kNN with k = 5. Of 8,000 random triplets an epoch "
        "soon hardly any is wrong enough to teach something: about 97 %, in half an hour.",
        dict(),
    ),
    "densenet52": Preset(
        "DenseNet-52",
        "The lab sheet's classifier of 52 convolutions, dense blocks 2, 2, 4, 16. The statistics of its batch "
        "normalisation trail behind, so its accuracy jumps between epochs: it ends between 77 and 94 %.",
        dict(architecture="densenet", blocks=(2, 2, 4, 16)) | _SHEET,
    ),
    "densenet39": Preset(
        "DenseNet-39",
        "The lab sheet's smaller DenseNet of 38 convolutions, dense blocks 2, 5, 4, 6. Its accuracy jumps between "
        "epochs for the same reason: it ends between 89 and 94 %.",
        dict(architecture="densenet", blocks=(2, 5, 4, 6)) | _SHEET,
    ),
    "resnext32": Preset(
        "ResNeXt-32 (16x8d)",
        "The lab sheet's widest network: 16 parallel paths of 8 channels. The statistics of its batch normalisation "
        "trail behind, so its accuracy jumps between epochs: it ends between 90 and 96 %, in half an hour.",
        dict(architecture="resnext", blocks=(3, 3, 3), cardinality=16, bottleneck_width=8) | _SHEET,
    ),
    "facenet-batch-hard": Preset(
        "FaceNet, batch-hard",
        "A narrow FaceNet that learns from all triplets first, then from the hardest of each anchor: from a cold start "
        "those would pull all images together. Watch the spread shrink when they take over: about 96 %.",
        _BALANCED | dict(selection="batch_hard", triplet_loss="soft_margin", all_first=5, learning_rate=0.032),
    ),
    "facenet-semi-hard": Preset(
        "FaceNet, semi-hard",
        "A narrow FaceNet that looks at triplets that are right, but not by the margin: steady, safe from "
        "outliers, about 97 %.",
        _BALANCED | dict(selection="semi_hard"),
    ),
    "facenet-chosen-classes": Preset(
        "FaceNet, confused classes",
        "A narrow FaceNet that, after each epoch, draws half of its triplets from the classes that it still confuses: "
        "about 95 %.",
        _LESSON | dict(sampling="confused_triplets", chosen_share=0.5, triplets=667),
    ),
    "densenet52-best": Preset(
        "DenseNet-52, most accurate",
        "Twice the sheet's epochs, warped images and averaged weights: about 98.9 % in some seven minutes.",
        _BEST | dict(architecture="densenet", blocks=(2, 2, 4, 16), objective="cross_entropy"),
    ),
    "resnext32-best": Preset(
        "ResNeXt-32, most accurate",
        "As deep as the sheet's ResNeXt, but of four paths, so that a laptop can train it: about 98.8 % in some six "
        "minutes.",
        _BEST
        | dict(architecture="resnext", blocks=(3, 3, 3), cardinality=4, bottleneck_width=4, objective="cross_entropy"),
    ),
    "facenet-best": Preset(
        "FaceNet, most accurate",
        "Learns names and distances at once, from all triplets of warped images: about 99 % in some five minutes.",
        _BEST
        | dict(architecture="resnet", blocks=(1, 1, 1, 1), width=32)
        | dict(objective="cross_entropy_triplet", sampling="shuffled"),
    ),
    "collapse": Preset(
        "Fails: collapse",
        "Batch-hard triplets from a cold start at a large learning rate pull all images into almost one point; the "
        "loss rests at the margin. Neighbours can still be right in so small a space. Remedy: a lower rate, or all "
        "triplets first.",
        _BALANCED | dict(selection="batch_hard", learning_rate=0.3, schedule="step", epochs=5),
    ),
    "learning-rate-too-high": Preset(
        "Fails: learning rate too high",
        "Every step overshoots and the loss soars, at times until it is no number. At 0.05 the network learns well.",
        _QUICK | dict(learning_rate=10.0, decay_factor=1.0, epochs=4),
    ),
    "overfit": Preset(
        "Fails: overfitting",
        "Learns 200 images by heart and is much worse on the 1,800 others, which are kept for validation.",
        _QUICK | dict(learning_rate=0.05, batch_size=16, decay_factor=1.0, validation_share=0.9, epochs=12),
    ),
}


def from_preset(name: str, **changes) -> RunConfig:
    """The configuration of a preset with some settings changed.

    Another architecture brings its own default blocks unless blocks are changed as well.
    Raises ConfigError for an unknown preset or setting.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}{nearest(name, PRESETS)}")
    if not changes:
        return _untouched(name)
    values = {"preset": name} | PRESETS[name].values
    before = _untouched(name).architecture
    if changes.get("architecture", before) != before and changes["architecture"] in ARCHITECTURES:
        values["blocks"] = ARCHITECTURES[changes["architecture"]].blocks
    return RunConfig(**values | changes)


@cache
def _untouched(name: str) -> RunConfig:
    """A preset as it is: made once, for pages ask for it dozens of times a drawing."""
    return RunConfig(preset=name, **PRESETS[name].values)


def changes(config: RunConfig) -> dict[str, object]:
    """The settings in which a configuration differs from its preset (or the defaults), where they have an effect."""
    now = dict(config)
    before = dict(from_preset(config.preset) if config.preset in PRESETS else RunConfig())
    fields = [field for field in settings() if applies(field, now)]
    return {field.name: now[field.name] for field in fields if now[field.name] != before[field.name]}


@lru_cache(maxsize=4096)  # a page names every run several times
def title(config: RunConfig) -> str:
    """What a run is called: its preset and what was changed, e.g. "FaceNet, epochs 1"."""
    name = PRESETS[config.preset].title if config.preset in PRESETS else config.preset

    def short(value) -> str:
        return written(value).replace(", ", "-").replace("_", " ")

    return ", ".join([name, *(f"{key.replace('_', ' ')} {short(value)}" for key, value in changes(config).items())])
