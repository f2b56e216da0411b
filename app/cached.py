"""What is computed once and kept in memory for all browser sessions: the only door to Streamlit's caches."""

import atexit
import gc
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from app.components.plotly_chart import figure_json
from app.components.small_map import Background
from app.drawing import charts, pictures, specimens
from core import maps, measuring
from core.analysis import explain, mistakes, projection
from core.analysis.embedded import Embedded
from core.dataset import loader
from core.dataset.loader import DataSet
from core.runs import explaining, latest_step, store
from core.runs import suspicion as doubts
from core.runs.comparison import Comparison, compare_runs
from core.runs.queue import queue
from core.runs.store import Run
from core.settings.colours import class_colour


def _measured(run: Run) -> tuple:
    """What tells the results of a run apart: those after an epoch change only if it was stopped within it and resumed,
    hence the steps."""
    return run.id, run.result and run.result.epochs, run.result and run.result.steps


_FRESH = 3.0  # seconds
_KEYS = {Run: _measured, DataSet: lambda images: (images.fingerprint, images.left_out)}


@st.cache_resource
def warm_up() -> None:
    """Loads what is slow to load, once a process and in the background, so that the first page shows at once."""

    def load() -> None:
        import torch._dynamo  # noqa: F401 - every optimiser loads it

        gc.freeze()  # collections, one after each drawing, skip what these libraries hold,
        atexit.register(gc.unfreeze)  # but not the last one, at which they complain of leaks
        queue().join(600)  # compiling UMAP must not slow a run that has begun already
        with measuring.machine, suppress(RuntimeError):  # the process ends: nothing is imported any more
            projection.warm_up()  # where it fails otherwise the first map says so
        gc.collect()
        gc.freeze()

    # Of the same priority as all others: on a busy computer they would wait for it where it holds Python's lock
    threading.Thread(target=load, name="warm-up", daemon=True).start()


@st.cache_resource(ttl=_FRESH, max_entries=20, show_spinner=False)
def data_set(folder: Path) -> DataSet:
    """The set in a folder; whether a file of it has changed is asked every few seconds only, for all who look.

    It takes 10 ms for 3,000 files, and each page asks several times. Raises DataError.
    """
    return loader.load(folder)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=_KEYS)
def live_charts(
    run: Run, moment: tuple, smoothed: int, _history: pd.DataFrame, _steps: pd.DataFrame, _done: float
) -> dict[str, tuple[str, str]]:
    """The charts of a run by name, as JSON and in words; drawn once a `moment` for all who look."""
    found = charts.figures(run, _history, _steps, _done, smoothed)
    return {name: (figure_json(figure), alt) for name, (figure, alt) in found.items()}


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=_KEYS)
def microscope(run: Run, moment: tuple, _images: Callable[[], DataSet]) -> str:
    """The microscope as HTML, drawn once a `moment` for all who look; empty before the first step.

    Raises StoreError and DataError.
    """
    found = latest_step.read(run)
    return "" if found is None else specimens.drawn(latest_step.described(run, found, _images()), found.pixels)


@st.cache_data(max_entries=2, show_spinner=False, hash_funcs=_KEYS)
def sprite_sheet(images: DataSet) -> bytes:
    """A set's pictures for the map."""
    return pictures.sprite_sheet(images)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def embedded(run: Run) -> Embedded:
    """Embeddings and predictions of a run after its last epoch. Raises StoreError."""
    return store.embedded(run, run.result.epochs)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_KEYS)
def embedded_at(run: Run, epoch: int) -> Embedded:
    """The same after any epoch that is stored. Raises StoreError."""
    return store.embedded(run, epoch)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def rings(run: Run, images: DataSet, epochs: list[int]) -> list[np.ndarray]:
    """After each of these epochs: which test images are misclassified, as places on the map. Raises StoreError."""
    wrong = (store.embedded(run, epoch).predicted != images.test.labels for epoch in epochs)
    return [len(images.train.ids) + np.flatnonzero(each) for each in wrong]


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def pca_frame(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The PCA (N + Q, 2) of a run's training and test embeddings after its last epoch, and the shares of variance."""
    return projection.pca_with_shares(np.concatenate(embedded(run)[:2]))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def planes(run: Run, images: DataSet, epochs: list[int], centres: tuple[int, int]) -> dict[int, np.ndarray]:
    """Maps (N + Q, 2) by epoch on the plane of the centres of two classes. Raises StoreError."""
    return maps.planes(run, images, epochs, centres)


@st.cache_resource(max_entries=4, show_spinner="Loading the network …", hash_funcs=_KEYS)
def classifier(run: Run, images: DataSet):
    """A run's network and gallery, to be asked about single images (core.classifying.Classifier). Raises StoreError."""
    from core.classifying import Classifier  # here, because loading torch takes seconds

    return Classifier(run, images)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def small_map(run: Run, images: DataSet, changed: int) -> tuple[str, np.ndarray, Background]:
    """Method, map of the training images (N, 2) and its picture: UMAP if it is kept with the run, else PCA.

    `changed` tells the versions of what is kept apart.
    """
    frame = None if collapsed(run) else maps.known(run, "umap")
    method, frame = ("PCA", pca_frame(run)[0]) if frame is None else ("UMAP", frame)
    training, classes = frame[: len(images.train.ids)], images.classes
    colours = [class_colour(label) for label in range(len(classes))]
    return method, training, Background(training, images.train.labels, colours, classes)


class Trust(NamedTuple):
    """How far a drawing can be trusted; fractions."""

    trustworthiness: float  # neighbours in the drawing that are neighbours in the embedding
    in_embedding: float  # test images whose nearest training images vote for their class, in the embedding
    in_drawing: float  # the same in the drawing


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=_KEYS)
def trust(run: Run, method: tuple, epoch: int, live: bool, _frame: np.ndarray, _labels: np.ndarray) -> Trust:
    """How far a run's drawing (N + Q, 2) of an epoch can be trusted; `method` says what it is, `_labels` (N + Q,) are
    the true ones."""
    points = np.concatenate(embedded_at(run, epoch)[:2])
    votes = [projection.knn_accuracy(each, _labels, run.data.train) for each in (points, _frame)]
    return Trust(projection.trustworthiness(points, _frame), *votes)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def collapsed(run: Run) -> str:
    """Why UMAP would draw a cloud where there is none; empty for a healthy run."""
    return projection.collapsed(np.concatenate(embedded(run)[:2]))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def wrong_images(run: Run, images: DataSet) -> pd.DataFrame:
    """The misclassified test images of a run after its last epoch, see core/analysis/mistakes.py."""
    return mistakes.find(images, embedded(run))


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEYS)
def predicted(run: Run, images: DataSet, rule: str, k: int) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Labels (Q,) and scores (Q,) of the test images by a rule, and the wrong ones with their neighbours.

    By the run's own rule they are those that it stored.
    """
    stored = embedded(run)
    if rule == run.config.predicts and (k == run.config.neighbours or rule not in explain.NEIGHBOUR_RULES):
        return stored.predicted, stored.scores, wrong_images(run, images)
    labels, scores = explain.predict_all(stored, images.train.labels, rule, k)
    return labels, scores, mistakes.find(images, Embedded(stored.train, stored.test, labels, scores))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def right_images(run: Run, images: DataSet, rule: str, k: int) -> pd.DataFrame:
    """The test images that a rule classifies correctly, with their neighbours; see core/analysis/mistakes.py."""
    labels, scores, _ = predicted(run, images, rule, k)
    return mistakes.right_ones(images, embedded(run)._replace(predicted=labels, scores=scores))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def biographies(run: Run, images: DataSet, training: bool = False) -> explaining.Biographies:
    """What the test or the training images were called after each epoch. Raises StoreError."""
    return explaining.biographies(run, images, training=training)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def suspicion(runs: list[Run], images: DataSet) -> doubts.Suspicion:
    """The training images whose label these runs doubt. Raises StoreError."""
    return doubts.find(runs, images)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=_KEYS)
def comparison(runs: list[Run], images: DataSet) -> Comparison:
    """Runs on the same test images, side by side. Raises StoreError."""
    return compare_runs(runs, images)


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs=_KEYS)
def history(run: Run, changed: int) -> pd.DataFrame:
    """The table of a run's epochs; `changed` tells its versions apart. Raises StoreError."""
    return store.history(run)


@st.cache_data(max_entries=50, show_spinner=False, hash_funcs=_KEYS)
def saved_step(run: Run, changed: int) -> tuple[int, int]:
    """Epoch and step, from 1, after the run's newest checkpoint; `changed` tells its versions apart."""
    checkpoint, _ = store.newest_checkpoint(run)
    return (checkpoint["training"]["epoch"], checkpoint["training"]["step"] + 1) if checkpoint else (1, 1)
