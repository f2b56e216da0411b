"""What a run is made of: every setting with its default, bounds, unit and help text, and the presets.

This is the one place for these facts: the command line (`--set key=value`) and the form on the Train page are made
from the fields of `RunConfig`.
"""

import dataclasses
import math
from dataclasses import dataclass

SPHERE_RADIUS = 10.0  # alpha in arXiv:1703.09507: embeddings are scaled to this length, so no distance exceeds 20
MOST_STAGES = 6  # each but the first halves the side of a 32x32 image
GROUPS = {"network": "Network", "objective": "Objective", "training": "Training", "run": "Prediction and machine"}

ARCHITECTURES = {"densenet": "DenseNet", "resnext": "ResNeXt", "resnet": "ResNet (FaceNet embedder)"}
OBJECTIVES = {"cross_entropy": "Cross-entropy (classification)", "triplet": "Triplet loss (metric learning)"}
AUGMENTATIONS = {"none": "None", "crop_flip": "Random crop (padding 4) and horizontal flip"}
PRECISIONS = {"auto": "Automatic", "float32": "float32", "bfloat16": "bfloat16"}
DEFAULT_BLOCKS = {"densenet": (2, 2, 4, 16), "resnext": (3, 3, 3), "resnet": (2, 2, 2, 2)}


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the setting and says what to change."""


def setting(default, label, help, *, group, low=None, high=None, step=1, unit="", choices=None, only_with=None):
    """A dataclass field that carries what a form and a command line need to know about it.

    `low` and `high` are inclusive, `step` is what a click on + adds. `only_with` names the one value of another field
    with which the setting has an effect, e.g. `{"architecture": "densenet"}`; with any other value it is ignored and
    forms do not show it.
    """
    facts = {"label": label, "help": help, "group": group, "low": low, "high": high, "step": step, "unit": unit}
    return dataclasses.field(default=default, metadata=facts | {"choices": choices, "only_with": only_with or {}})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All settings of one run. Frozen, checked when made, and saved with the weights.

    Raises ConfigError from the constructor if a value is out of bounds or two values contradict each other.
    """

    preset: str = "custom"  # the recipe it started from; what was changed since is in the other fields

    # The network
    architecture: str = setting(
        "resnet",
        "Architecture",
        "The kind of network. Any of them can be trained with either objective.",
        group="network",
        choices=ARCHITECTURES,
    )
    blocks: tuple[int, ...] = setting(
        (2, 2, 2, 2),
        "Blocks in each stage",
        "How many blocks every stage has, from the input to the output. DenseNet-52 is 2, 2, 4, 16; "
        "DenseNet-39 is 2, 5, 4, 6; ResNeXt-32 is 3, 3, 3; ResNet-18 is 2, 2, 2, 2.",
        group="network",
        low=1,
        high=64,
    )
    growth_rate: int = setting(
        12,
        "Growth rate k",
        "Feature maps that each DenseNet layer adds to those before it (k in arXiv:1608.06993).",
        group="network",
        low=2,
        high=64,
        unit="channels",
        only_with={"architecture": "densenet"},
    )
    cardinality: int = setting(
        16,
        "Cardinality",
        "Parallel paths in each ResNeXt block: the groups of its 3x3 convolution (C in arXiv:1611.05431).",
        group="network",
        low=1,
        high=64,
        unit="paths",
        only_with={"architecture": "resnext"},
    )
    bottleneck_width: int = setting(
        8,
        "Bottleneck width",
        "Channels of each of the parallel paths in the first stage; doubled after each stage (d in arXiv:1611.05431).",
        group="network",
        low=1,
        high=64,
        unit="channels",
        only_with={"architecture": "resnext"},
    )
    width: int = setting(
        64,
        "Width",
        "Channels of the first ResNet stage; doubled after each stage. 64 is ResNet-18; 16 learns much faster.",
        group="network",
        low=4,
        high=128,
        unit="channels",
        only_with={"architecture": "resnet"},
    )
    channels: int = setting(
        3,
        "Input channels",
        "3 repeats the grey image, as networks for colour photographs expect it; 1 feeds it once.",
        group="network",
        choices={1: "1 (grey)", 3: "3 (grey repeated)"},
    )

    # What is learnt
    objective: str = setting(
        "triplet",
        "Objective",
        "Cross-entropy learns to name the class. The triplet loss learns distances: an anchor shall be closer to an "
        "image of its own class than to one of another class, by at least the margin.",
        group="objective",
        choices=OBJECTIVES,
    )
    embedding_size: int = setting(
        128,
        "Embedding size",
        "Numbers that describe one image: the length of the vector between which distances are measured.",
        group="objective",
        low=2,
        high=1024,
        unit="numbers",
        only_with={"objective": "triplet"},
    )
    margin: float = setting(
        2.0,
        "Margin",
        "How much further away than the positive the negative has to be. Embeddings lie on a sphere of radius 10, "
        "so distances run from 0 to 20; 2.0 here is 0.2 on the unit sphere.",
        group="objective",
        low=0.0,
        high=20.0,
        step=0.5,
        unit="distance",
        only_with={"objective": "triplet"},
    )
    triplets: int = setting(
        8000,
        "Triplets an epoch",
        "How many random triplets (anchor, positive, negative) are drawn for one epoch; each shows three images.",
        group="objective",
        low=1,
        high=1_000_000,
        step=500,
        unit="triplets",
        only_with={"objective": "triplet"},
    )

    # Training
    epochs: int = setting(
        5,
        "Epochs",
        "How many times the training goes through its images (or its triplets).",
        group="training",
        low=1,
        high=1000,
        unit="epochs",
    )
    batch_size: int = setting(
        16,
        "Batch size",
        "Images in one step of cross-entropy; triplets in one step of the triplet loss (each is three images).",
        group="training",
        low=1,
        high=1024,
        unit="images or triplets",
    )
    learning_rate: float = setting(
        0.008,
        "Learning rate",
        "Length of a step of gradient descent at the beginning.",
        group="training",
        low=1e-6,
        high=10.0,
        step=0.001,
    )
    decay_factor: float = setting(
        3.0,
        "Divide the learning rate by",
        "The learning rate is divided by this number at regular intervals; 1 keeps it.",
        group="training",
        low=1.0,
        high=100.0,
        step=1.0,
    )
    decay_every: int = setting(
        4,
        "… every",
        "Epochs after which the learning rate is divided once more.",
        group="training",
        low=1,
        high=1000,
        unit="epochs",
    )
    momentum: float = setting(
        0.9,
        "Momentum",
        "Share of the previous step that is kept in the next one (stochastic gradient descent with momentum).",
        group="training",
        low=0.0,
        high=0.999,
        step=0.05,
    )
    weight_decay: float = setting(
        0.0,
        "Weight decay",
        "Pulls every weight towards zero, against overfitting.",
        group="training",
        low=0.0,
        high=1.0,
        step=0.0001,
    )
    augmentation: str = setting(
        "none",
        "Augmentation",
        "Random changes to the training images, new in every epoch. Test images are never changed. "
        "(A flip is the lab sheet's recipe; no digit looks the same in a mirror.)",
        group="training",
        choices=AUGMENTATIONS,
    )

    # Prediction and the machine
    neighbours: int = setting(
        5,
        "Neighbours k",
        "Training images that vote on the class of an image (kNN prediction, the rule of triplet runs).",
        group="run",
        low=1,
        high=200,
        unit="images",
    )
    seed: int = setting(
        0,
        "Seed",
        "Start of every random draw. The same settings with the same seed give the same run on the same machine.",
        group="run",
        low=0,
        high=2**31 - 1,
    )
    precision: str = setting(
        "auto",
        "Precision",
        "Automatic takes bfloat16 where the processor has it in hardware, otherwise float32. What was used is kept "
        "with the run.",
        group="run",
        choices=PRECISIONS,
    )
    threads: int = setting(
        0,
        "Processor threads",
        "Threads of the training; 0 chooses: every core with float32, all but one with bfloat16. What was used is kept "
        "with the run.",
        group="run",
        low=0,
        high=64,
        unit="threads",
    )

    def __post_init__(self):
        for field in settings():
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.architecture == "densenet" and len(self.blocks) != 4:
            raise ConfigError(f"blocks: a DenseNet has four dense blocks, e.g. 2,2,4,16; given were {len(self.blocks)}")
        if self.objective == "cross_entropy" and self.batch_size < 2:
            raise ConfigError("batch_size: batch normalisation needs at least 2 images in a batch; use 2 or more")


def settings() -> tuple[dataclasses.Field, ...]:
    """The fields of RunConfig that a user can set, in the order of forms and help."""
    return tuple(field for field in dataclasses.fields(RunConfig) if field.metadata)


def applies(field: dataclasses.Field, values: dict) -> bool:
    """Whether a setting has an effect beside the other `values`."""
    return all(values[name] == wanted for name, wanted in field.metadata["only_with"].items())


def _checked(field: dataclasses.Field, value):
    """`value` in the type of its field, or ConfigError."""
    name, facts = field.name, field.metadata
    if facts["choices"]:
        if type(value) is not field.type or value not in facts["choices"]:  # True and 3.0 equal a choice, but are none
            raise ConfigError(f"{name}: {value!r} is not one of {', '.join(map(str, facts['choices']))}")
        return value
    if field.type == tuple[int, ...]:
        if not isinstance(value, list | tuple) or not value or not all(type(item) is int for item in value):
            raise ConfigError(f"{name}: {value!r} is not a list of whole numbers, e.g. 2,2,4,16")
        if len(value) > MOST_STAGES:
            raise ConfigError(f"{name}: {len(value)} stages shrink a 32x32 image to nothing; use at most {MOST_STAGES}")
        for item in value:
            _check_bounds(field, item)
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise ConfigError(f"{name}: {value!r} is not a number")
    if field.type is int and value != int(value):
        raise ConfigError(f"{name}: {value!r} is not a whole number")
    _check_bounds(field, value)
    return field.type(value)


def _check_bounds(field: dataclasses.Field, value: float):
    low, high = field.metadata["low"], field.metadata["high"]
    if not low <= value <= high:
        raise ConfigError(f"{field.name}: {value} is out of bounds; use {low} to {high}")


def changes(config: RunConfig) -> dict[str, object]:
    """The settings in which a configuration differs from its preset (or the defaults), where they have an effect."""
    now = dataclasses.asdict(config)
    before = dataclasses.asdict(from_preset(config.preset) if config.preset in PRESETS else RunConfig())
    fields = [field for field in settings() if applies(field, now)]
    return {field.name: now[field.name] for field in fields if now[field.name] != before[field.name]}


def title(config: RunConfig) -> str:
    """What a run is called: its preset and what was changed, e.g. "FaceNet, epochs 1"."""
    name = PRESETS[config.preset].title if config.preset in PRESETS else config.preset

    def written(value) -> str:
        return "-".join(map(str, value)) if isinstance(value, tuple) else str(value).replace("_", " ")

    return ", ".join([name, *(f"{key.replace('_', ' ')} {written(value)}" for key, value in changes(config).items())])


def check_data(config: RunConfig, class_sizes: list[int]) -> None:
    """Raises ConfigError if the settings ask more than a training set with so many images a class can give."""
    if config.neighbours >= sum(class_sizes):
        raise ConfigError(f"neighbours: the set has {sum(class_sizes)} training images; use fewer than that")
    if config.objective == "triplet" and (len(class_sizes) < 2 or max(class_sizes) < 2):
        raise ConfigError("objective: triplets need at least two classes, one of them with two training images")


def parse_setting(text: str) -> tuple[str, object]:
    """`"key=value"` of the command line as (name, value). Raises ConfigError for an unknown key or a bad value."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise ConfigError(f"--set {text}: write key=value, e.g. --set epochs=3")
    return parse_value(name, value)


def parse_value(name: str, text: str) -> tuple[str, object]:
    """The value of the setting `name` written as text; lists are `2,2,4,16`, with or without brackets."""
    fields = {field.name: field for field in settings()}
    if name not in fields:
        raise ConfigError(f"{name}: no such setting; there are {', '.join(fields)}")
    field = fields[name]
    try:
        if field.type == tuple[int, ...]:
            return name, tuple(int(item) for item in text.strip("[]() ").split(","))
        return name, field.type(text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(field.type, "a list of whole numbers, e.g. 2,2,4,16")
        raise ConfigError(f"{name}: {text!r} is not {wanted}") from None


def to_dict(config: RunConfig) -> dict:
    """The configuration as plain values that JSON can hold."""
    return dataclasses.asdict(config) | {"blocks": list(config.blocks)}


def from_dict(values: dict) -> RunConfig:
    """The inverse of `to_dict`. Raises ConfigError for an unknown key (a run of a newer version) or a bad value."""
    known = {field.name for field in dataclasses.fields(RunConfig)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"unknown setting {', '.join(unknown)}: written by a newer version of the lab?")
    return RunConfig(**values)


@dataclass(frozen=True)
class Preset:
    """A named recipe: what to expect of it in one line, and the settings that differ from RunConfig's defaults."""

    title: str
    expect: str
    values: dict


_CLASSIFICATION = dict(
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

PRESETS = {
    "quick": Preset(
        "Quick look",
        "A narrow ResNet that learns to name the class: curves, an embedding and mistakes well within a minute.",
        dict(architecture="resnet", width=16, epochs=6, learning_rate=0.05, decay_factor=10.0, decay_every=4)
        | dict(objective="cross_entropy", batch_size=64, momentum=0.9, weight_decay=5e-4),
    ),
    "facenet": Preset(
        "FaceNet",
        "The lab sheet's metric learner: ResNet-18, embedding 128, 8,000 random triplets an epoch, kNN with k = 5.",
        dict(),
    ),
    "densenet52": Preset(
        "DenseNet-52",
        "The lab sheet's classifier with dense blocks 2, 2, 4, 16: 52 convolutions and one fully connected layer.",
        dict(architecture="densenet", blocks=(2, 2, 4, 16)) | _CLASSIFICATION,
    ),
    "densenet39": Preset(
        "DenseNet-39",
        "The lab sheet's smaller DenseNet with dense blocks 2, 5, 4, 6: 38 convolutions and one fully connected layer.",
        dict(architecture="densenet", blocks=(2, 5, 4, 6)) | _CLASSIFICATION,
    ),
    "resnext32": Preset(
        "ResNeXt-32 (16x8d)",
        "The lab sheet's widest network: 16 parallel paths of 8 channels. The slowest by far on a laptop.",
        dict(architecture="resnext", blocks=(3, 3, 3), cardinality=16, bottleneck_width=8) | _CLASSIFICATION,
    ),
}


def from_preset(name: str, **changes) -> RunConfig:
    """The configuration of a preset with some settings changed.

    Another architecture brings its own default blocks unless blocks are changed as well.
    Raises ConfigError for an unknown preset or setting.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    values = {"preset": name} | PRESETS[name].values
    before = RunConfig(**values).architecture
    if changes.get("architecture", before) != before and changes["architecture"] in DEFAULT_BLOCKS:
        values["blocks"] = DEFAULT_BLOCKS[changes["architecture"]]
    return from_dict(values | changes)
