"""What the pages share: the only file that touches session state and Streamlit's caches, and the door to core."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

import numpy as np
import pandas as pd
import streamlit as st

from app import pictures
from core import data, mistakes, places, projection, sources, store
from core.config import PRESETS, RunConfig, from_preset, settings
from core.runs import queue
from core.store import Embedded, Run, RunWriter, StoreError


@st.cache_resource
def warm_up() -> None:
    """Loads what is slow to load, once a process and in the background, so that the first page shows at once."""

    def load() -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)  # of this thread: others come first
        import torch  # noqa: F401

        queue().join(600)  # compiling UMAP must not slow a run that has begun already
        projection.warm_up()
        gc.collect()
        gc.freeze()  # later collections skip what these libraries hold,
        atexit.register(gc.unfreeze)  # but not the last one, at which they complain of leaks

    threading.Thread(target=load, name="warm-up", daemon=True).start()


def data_set() -> data.DataSet:
    """The data set in use; kept in memory by core.data. Raises DataError."""
    return data.load(places.data_folder())


def prepare_data_set(progress) -> None:
    """Makes the data set if there is none. Raises DataError."""
    sources.prepare(places.data_folder(), progress=progress)


def all_runs() -> list[Run]:
    """Every run in the folder, newest first."""
    return store.list_runs(places.runs_folder())


def status(run: Run) -> str:
    """The status in words for the page, with what only this process knows: the place in its queue and a stop asked."""
    waiting = queue().names()
    if run.status in ("queued", "running") and queue().stopping(run.id):
        return "stopping"
    if run.status == "queued" and run.id in waiting:
        return f"queued, {waiting.index(run.id)} before it" if waiting.index(run.id) else "starting"
    return run.status


def start(config: RunConfig) -> str:
    """Puts a new run into the queue and returns its id. Raises ConfigError, DataError or StoreError."""
    images = data_set()
    writer = store.create(config, images, places.runs_folder())
    queue().submit(writer.id, lambda stop: _train(writer, images, stop), lambda: _drop(writer))
    return writer.id


def _train(writer: RunWriter, images: data.DataSet, stop):
    with writer:
        from core import experiment  # here: the background thread waits for torch, the page does not

        yield from experiment.run(writer, images, stop)


def _drop(writer: RunWriter):
    writer.update(status="stopped")
    writer.close()


def failure(run: Run) -> str:
    """Why a run failed: what it could write down itself, else what its thread said (a full disk, for example)."""
    return run.error or queue().error(run.id) or ""


def find_run(run_id: str) -> Run:
    """The run with this id; damaged if its folder is gone."""
    return store.read(places.runs_folder() / run_id)


def stop(run: Run) -> None:
    """Ends a run of this process at its next step, or takes it out of the queue."""
    queue().stop(run.id)


def mine(run: Run) -> bool:
    """Whether this process trains the run, so that its page can stop it."""
    return run.id in queue().names()


def chosen_run(runs: list[Run]) -> Run | None:
    """The run that the pages look at: from the address, else the one looked at last, else the newest with a result."""
    by_id = {run.id: run for run in runs}
    for wanted in (st.query_params.get("run"), st.session_state.get("chosen_run")):
        if wanted in by_id:
            return by_id[wanted]
    with_result = [run for run in runs if run.active or run.result]
    return (with_result or runs or [None])[0]


def passed_over(runs: list[Run]) -> bool:
    """Whether the run in the address, or the one looked at last, is not among `runs`."""
    wanted = st.query_params.get("run") or st.session_state.get("chosen_run")
    return wanted is not None and wanted not in {run.id for run in runs}


def choose_run(run_id: str | None) -> None:
    """Remembers the run for all pages and puts it into the address."""
    if run_id is None:
        return
    st.session_state["chosen_run"] = run_id
    if st.query_params.get("run") != run_id:
        st.query_params["run"] = run_id


def setting_key(name: str) -> str:
    """The key of a setting's widget."""
    return f"set_{name}"


def fill_form(preset: str) -> None:
    """Sets every widget of the form to the preset's value."""
    config = from_preset(preset)
    st.session_state["form_preset"] = preset
    for field in settings():
        value = getattr(config, field.name)
        st.session_state[setting_key(field.name)] = ", ".join(map(str, value)) if field.name == "blocks" else value


def keep_form() -> None:
    """Fills the form at the first visit and, called on every page, keeps its values while it is not shown."""
    if "form_preset" not in st.session_state:
        fill_form(next(iter(PRESETS)))
    for key in ("form_preset", *(setting_key(field.name) for field in settings())):
        st.session_state[key] = st.session_state[key]  # Streamlit forgets the widgets of other pages otherwise


def set_blocks(blocks: tuple[int, ...]) -> None:
    """Sets the form's blocks, e.g. to those that a newly chosen architecture is known for."""
    st.session_state[setting_key("blocks")] = ", ".join(map(str, blocks))


def setting_value(name: str):
    """What the form holds for a setting now."""
    return st.session_state[setting_key(name)]


def preset_widget(key: str, value) -> None:
    """Sets what a widget shows, before it is drawn."""
    st.session_state[key] = value


def clamp(key: str, highest: int) -> None:
    """Keeps the number of a widget that is about to be drawn from 1 to `highest`."""
    st.session_state[key] = min(max(st.session_state.get(key, 1), 1), highest)


def recall(name: str):
    """A page's choice in this browser session, or None."""
    return st.session_state.get(name)


@st.cache_data(max_entries=2, show_spinner=False)
def sprite_sheet(fingerprint: str, _images: data.DataSet) -> bytes:
    """The set's pictures for the map, made once a set (Streamlit's cache goes by the fingerprint alone)."""
    return pictures.sprite_sheet(_images)


@st.cache_data(max_entries=8, show_spinner=False)
def embedded(run_id: str, epoch: int) -> Embedded:
    """Embeddings and predictions of a run after an epoch; they never change. Raises StoreError."""
    return store.embedded(find_run(run_id), epoch)


@st.cache_data(max_entries=8, show_spinner="Drawing the embedding space (UMAP) …")
def umap_frame(run_id: str, epoch: int) -> np.ndarray:
    """The UMAP (N + Q, 2) of a run's training and test embeddings after an epoch; kept with the run."""
    run = find_run(run_id)
    frame = store.projection(run, epoch)
    if frame is None:
        frame = projection.umap(_all_embeddings(run_id, epoch), run.config.seed)
        with suppress(StoreError):  # it can be drawn again
            store.save_projection(run, epoch, frame)
    return frame


@st.cache_data(max_entries=8, show_spinner=False)
def pca_frame(run_id: str, epoch: int) -> np.ndarray:
    """The PCA (N + Q, 2) of a run's training and test embeddings after an epoch."""
    return projection.pca(_all_embeddings(run_id, epoch))


def _all_embeddings(run_id: str, epoch: int) -> np.ndarray:
    found = embedded(run_id, epoch)
    return np.concatenate([found.train, found.test])


@st.cache_data(max_entries=8, show_spinner=False)
def wrong_images(run_id: str, epoch: int, fingerprint: str, _images: data.DataSet) -> pd.DataFrame:
    """The misclassified test images of a run after an epoch, see core/mistakes.py."""
    return mistakes.find(_images, embedded(run_id, epoch))
