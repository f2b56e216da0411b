"""A whole run: seed, build, fit, evaluate, save. What the background thread and the command line drain."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from core import classify, data, evaluate, machine, mistakes, models, sampling, store, train
from core.config import ConfigError
from core.data import DataSet, Split
from core.evaluate import Evaluation, LabelledImages
from core.events import EpochDone, Event, Finished
from core.store import Embedded, Run, RunWriter


def run(writer: RunWriter, images: DataSet, stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
    """Trains the run that `writer` was made for and saves it epoch by epoch; yields its events.

    When `stop` says yes, the model so far is evaluated and kept and the run is marked stopped. The caller enters
    and leaves `writer`, which marks the run failed if anything is raised here.
    """
    started = time.perf_counter()
    config = store.read(writer.folder).config
    used = machine.choose(config)
    training, test = _tensors(images.train), _tensors(images.test)
    writer.update(
        status="running",
        machine=asdict(used) | machine.versions(),
        steps_per_epoch=sampling.steps_per_epoch(config, len(training.labels)),
    )
    torch.manual_seed(config.seed)  # for the initial weights; all later draws have their own generators
    network = models.build(config, len(images.classes)).to(used.device, memory_format=torch.channels_last)
    descent = train.optimiser(network, config)
    embedded: Embedded | None = None

    def evaluate_epoch(epoch: int) -> Evaluation:
        nonlocal embedded
        evaluation = evaluate.evaluate(network, training, test, config, used)
        known, asked, loss = evaluation.train_embeddings, evaluation.test_embeddings, evaluation.test_loss or 0.0
        if not (known.isfinite().all() and asked.isfinite().all() and math.isfinite(loss)):  # since the last step
            raise train.Diverged(
                f"the network's outputs are not finite after epoch {epoch}: the weights have run away. "
                f"Lower the learning rate (it was {train.learning_rate(config, epoch):g})."
            )
        arrays = (evaluation.train_embeddings, evaluation.test_embeddings, *evaluation.test_prediction)
        embedded = Embedded(*(array.numpy() for array in arrays))
        writer.save_embedded(epoch, embedded)
        return evaluation

    last: EpochDone | None = None
    best_accuracy = -1.0
    for event in train.fit(network, descent, training, config, used, evaluate_epoch, stop):
        seconds = time.perf_counter() - started
        if isinstance(event, EpochDone):
            last = event
            state = {"epoch": event.epoch, "steps": event.steps, "network": network.state_dict()}
            writer.save_checkpoint("last.pt", state | {"optimiser": descent.state_dict()})
            if event.test_accuracy > best_accuracy:  # chosen by the test images: never a headline
                best_accuracy = event.test_accuracy
                writer.save_checkpoint("best.pt", state)
            wrong = _save_predictions(writer, images, embedded)
            writer.add_epoch(event, seconds)
            writer.update(
                result={
                    "epochs": event.epoch,
                    "steps": event.steps,
                    "train_accuracy": event.train_accuracy,
                    "test_accuracy": event.test_accuracy,
                    "best_test_accuracy": best_accuracy,
                    "mistakes": wrong,
                }
            )
        else:
            writer.add_step(event, seconds)
        yield event
    whole = last and (last.epoch, last.steps) == (config.epochs, sampling.steps_per_epoch(config, len(training.labels)))
    status = "done" if whole else "stopped"
    seconds = time.perf_counter() - started
    writer.update(status=status, seconds=round(seconds, 3))
    yield Finished(
        run=writer.id,
        status=status,
        epochs=last.epoch if last else 0,
        train_accuracy=last.train_accuracy if last else None,
        test_accuracy=last.test_accuracy if last else None,
        seconds=seconds,
    )


def _tensors(split: Split) -> LabelledImages:
    return LabelledImages(torch.tensor(split.images), torch.tensor(split.labels))


def _save_predictions(writer: RunWriter, images: DataSet, embedded: Embedded) -> int:
    """Writes predictions.csv and mistakes.csv; returns the number of mistakes."""
    numbers = np.array(images.class_numbers)
    columns = {"id": images.test.ids, "true": numbers[images.test.labels], "predicted": numbers[embedded.predicted]}
    writer.save_table("predictions.csv", pd.DataFrame(columns | {"score": embedded.scores}))
    table = mistakes.find(images, embedded)
    writer.save_table("mistakes.csv", table)
    return len(table)


def evaluate_run(run: Run, folder: Path | None, classifier: str | None, neighbours: int | None) -> dict:
    """Accuracy, confusion matrix and retrieval metrics of a run's last weights on images of any folder.

    `folder` holds class folders in the layout of `test/`; None takes the run's own test images. `classifier` is one
    of softmax, knn and centre, by default the run's own rule; `neighbours` is the k of kNN, by default the run's. The
    gallery is always the run's own training images. Accuracies are fractions, rows of the confusion matrix true
    classes.
    """
    config = run.config
    classifier = classifier or ("softmax" if config.objective == "cross_entropy" else "knn")
    neighbours = neighbours or config.neighbours
    if classifier == "softmax" and config.objective == "triplet":
        raise ConfigError(f"run {run.id} learnt distances and has no class head; use --classifier knn or centre")
    images = store.data_of(run)
    asked = _tensors(data.load_images(folder, images.classes) if folder else images.test)
    checkpoint = store.load_checkpoint(run)
    used = machine.choose(replace(config, precision=run.machine["precision"]))  # queries like the stored gallery
    network = models.build(config, len(images.classes))
    network.load_state_dict(checkpoint["network"])
    network.to(used.device, memory_format=torch.channels_last)
    outputs = evaluate.embed_all(network, asked.images, config.channels, used)
    gallery = torch.tensor(store.embedded(run, checkpoint["epoch"]).train)
    gallery_labels = torch.tensor(images.train.labels)
    if classifier == "softmax":
        prediction = classify.softmax(outputs.logits)
    elif classifier == "knn":
        if neighbours > len(gallery):
            raise ConfigError(f"--neighbours {neighbours}: there are only {len(gallery)} training images")
        prediction = classify.knn(outputs.embeddings, gallery, gallery_labels, neighbours)
    else:
        prediction = classify.centre(outputs.embeddings, gallery, gallery_labels)
    return {
        "accuracy": evaluate.accuracy(prediction.labels, asked.labels),
        "correct": int((prediction.labels == asked.labels).sum()),
        "total": len(asked.labels),
        "confusion": evaluate.confusion_matrix(prediction.labels, asked.labels, len(images.classes)).tolist(),
    } | asdict(evaluate.retrieval(outputs.embeddings, asked.labels, gallery, gallery_labels))
