"""A finished run's network on images of any folder: accuracy, confusion matrix, retrieval."""

from dataclasses import asdict
from pathlib import Path

import torch

from core.analysis import classify, metrics
from core.classifying import network_of
from core.dataset import loader
from core.dataset.images import Reading
from core.dataset.loader import DataSet, Split
from core.dataset.survey import other_brightness
from core.learning import evaluate
from core.runs import store
from core.runs.store import Run
from core.settings.setting import ConfigError


def evaluate_run(
    run: Run,
    folder: Path | None,
    classifier: str | None,
    neighbours: int | None,
    progress: Reading = lambda done, total: None,
    images: DataSet | None = None,
) -> dict:
    """Accuracy, confusion matrix and retrieval metrics of a run's last weights on images of any folder.

    `folder` holds class folders in the layout of `test/`; None takes the run's own test images. Of images without
    class folders, or of one file, only the predictions are given. `classifier` is one of choices.CLASSIFIERS, by
    default the run's own rule; `neighbours` is the k of kNN, by default the run's. The gallery is always the run's own
    training images: those of `images`, by default from where they were. Accuracies are fractions, rows of the confusion
    matrix true classes, `per_class` is in their order (None for a class without images). What should be known about
    images of a folder is in `notes`, if there is anything. `progress` as in data.load.
    """
    classifier, neighbours = classifier or run.config.predicts, neighbours or run.config.neighbours
    if classifier == "softmax" and not run.config.learns.classifies:
        raise ConfigError(f"run {run.id} learnt distances and has no class head; use --classifier knn or centre")
    images = images or store.data_of(run, progress)
    asked = loader.load_images(folder, images.classes) if folder else images.test
    network, used, epoch = network_of(run, images)
    gallery, gallery_labels = torch.tensor(store.embedded(run, epoch).train), torch.tensor(images.train.labels)
    if classifier in ("knn", "knn_weighted") and neighbours > len(gallery):
        raise ConfigError(f"--neighbours {neighbours}: there are only {len(gallery)} training images")
    outputs = evaluate.embed_all(network, torch.tensor(asked.images), run.config, used)
    prediction = classify.predict(classifier, outputs, gallery, gallery_labels, neighbours)
    notes = [found] if folder and (found := other_brightness(images.train.images, asked.images)) else []
    told = {"notes": notes} if notes else {}
    if not len(asked.labels):
        return _predictions(images, asked, prediction) | told
    labels = torch.tensor(asked.labels)
    retrieval = metrics.retrieval(outputs.embeddings, labels, gallery, gallery_labels)
    return _accuracies(prediction, labels, len(images.classes)) | asdict(retrieval) | told


def _accuracies(prediction: classify.Prediction, labels: torch.Tensor, class_count: int) -> dict:
    confusion = metrics.confusion_matrix(prediction.labels, labels, class_count)
    return {
        "accuracy": metrics.accuracy(prediction.labels, labels),
        "correct": int((prediction.labels == labels).sum()),
        "total": len(labels),
        "confusion": confusion.tolist(),
        "per_class": metrics.per_class(confusion),
    }


def _predictions(images: DataSet, asked: Split, prediction: classify.Prediction) -> dict:
    """What images of unknown classes were called, by the integers of the CSV, and with which score, a fraction."""
    called = zip(asked.ids, prediction.labels.tolist(), prediction.scores.tolist(), strict=True)
    found = [{"id": each, "predicted": images.class_numbers[label], "score": score} for each, label, score in called]
    return {"total": len(found), "predictions": found}
