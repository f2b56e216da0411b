"""What settings have to do with each other and with a data set: what cannot be done, and what has no effect."""

from core.settings.choices import OBJECTIVES, TRIPLET_SAMPLINGS
from core.settings.config import RunConfig
from core.settings.setting import ConfigError


def without_effect(config: RunConfig) -> dict[str, str]:
    """Why settings that could have an effect have none with these values, by name."""
    found = {}
    if config.patience >= config.epochs and config.validation_share:
        found["patience"] = f"a training of {config.epochs} epochs cannot go {config.patience} without a better one"
    if config.schedule == "step" and config.decay_factor > 1 and config.decay_every >= config.epochs:
        found["decay_every"] = f"the learning rate is never divided within {config.epochs} epochs"
    mines = OBJECTIVES[config.objective].triplets and config.counted not in ("drawn", "all")
    if mines and config.all_first >= config.epochs:
        found["all_first"] = f"all {config.epochs} epochs learn from all triplets, none from {config.counted} ones"
    if "triplet_weight" in OBJECTIVES[config.objective].settings and config.triplet_weight == 0:
        found["triplet_weight"] = "a triplet loss of weight 0 teaches nothing"
    if config.batches in ("chosen_triplets", "confused_triplets") and round(config.chosen_share * config.triplets) == 0:
        found["chosen_share"] = "none of the triplets comes from these classes"
    if config.batches == "chosen_triplets" and config.chosen_share == 1 and OBJECTIVES[config.objective].classifies:
        found["chosen_share"] = "classes that are not chosen are never seen; they cannot be named"
    return found


def check_data(config: RunConfig, class_sizes: dict[int, int]) -> None:
    """Raises ConfigError if the settings ask more than a training set can give.

    `class_sizes` counts the training images of each class by its number in the CSV.
    """
    sizes = {number: size - config.held_out(size) for number, size in class_sizes.items()}
    if config.validation_share and sizes == class_sizes:
        raise ConfigError("that is not one image of any class; use a larger share, or 0", "validation_share")
    if min(sizes.values()) < 1:
        raise ConfigError("no image of some class would be left to learn from; use a smaller share", "validation_share")
    count = sum(sizes.values())
    if count < 2:
        raise ConfigError("the set has a single image to learn from, and a batch needs two; add images", "batch_size")
    if config.predicts in ("knn", "knn_weighted") and config.neighbours >= count:
        besides = " besides those for validation" * bool(config.validation_share)
        raise ConfigError(f"the set has {count} training images{besides}; use fewer than that", "neighbours")
    compares = OBJECTIVES[config.objective].compares or config.batches in TRIPLET_SAMPLINGS
    if compares and (len(sizes) < 2 or max(sizes.values()) < 2):
        raise ConfigError(
            "objective and sampling: triplets need at least two classes, one of them with two training images"
        )
    if len(sizes) < 2:
        raise ConfigError("the set has only one class, of which every answer is right; add images of another class")
    if config.batches == "balanced":
        _check_balanced(config, sizes)
    if config.batches == "chosen_triplets":
        _check_chosen(config, sizes)


def _check_balanced(config: RunConfig, sizes: dict[int, int]) -> None:
    if OBJECTIVES[config.objective].triplets:
        images = min(config.images_per_class, max(sizes.values()))
        config.check_room(images * config.classes_a_batch(len(sizes)))
    if config.classes_per_batch > len(sizes):
        raise ConfigError(
            f"the set has {len(sizes)} classes; use {len(sizes)} or fewer, or 0 for all of them",
            "classes_per_batch",
        )
    if alone := [number for number, size in sizes.items() if size < 2]:
        raise ConfigError(
            f"class {alone[0]} has a single image to learn from, which cannot have a positive; "
            "add an image or use shuffled batches",
            "sampling",
        )


def _check_chosen(config: RunConfig, sizes: dict[int, int]) -> None:
    named = (*config.positive_classes, *config.negative_classes)
    if unknown := [number for number in named if number not in sizes]:
        raise ConfigError(
            f"positive_classes and negative_classes: the set has no class {unknown[0]}; "
            f"it has {', '.join(map(str, sizes))}"
        )
    if alone := [number for number in config.positive_classes if sizes[number] < 2]:
        raise ConfigError(f"class {alone[0]} has fewer than two images; choose another one", "positive_classes")
