"""What the pages share: the only file that touches session state and Streamlit's caches, and the door to core."""

import atexit
import gc
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app import pictures
from core import control, places
from core.analysis import mistakes, projection
from core.analysis.embedded import Embedded
from core.dataset import loader, sources
from core.dataset.loader import DataError
from core.exchange import uploads
from core.runs import store
from core.runs.files import StoreError
from core.runs.queue import queue
from core.runs.store import Run
from core.settings.config import ConfigError, RunConfig, settings, written
from core.settings.presets import PRESETS, from_preset

_DOUBLE_CLICK = 1.0  # seconds in which the second click can follow
# Seconds between two drawings of a run in training. One takes 0.15 seconds of a core, most of them the browser's, and
# the other threads of the training wait meanwhile. Later on the curves are too long to look different so soon.
_PACE, _LATER_PACE = 2.0, 5.0
_LATER = 20.0  # seconds of training


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


def data_set() -> loader.DataSet:
    """The data set in use in this browser session; kept in memory by core.dataset.loader. Raises DataError."""
    return loader.load(data_sets()[chosen_data()])


def data_sets() -> dict[str, Path]:
    """Folders of data sets by the name in the address: the lab's own ("") and those brought in."""
    return {"": places.data_folder()} | {folder.name: folder for folder in uploads.data_sets()}


def chosen_data() -> str:
    """The name of the data set for new runs: from the address, else the one chosen last, else the lab's own."""
    for wanted in (st.query_params.get("data"), st.session_state.get("chosen_data")):
        if wanted in data_sets():
            return wanted
    return ""


def choose_data(name: str) -> None:
    """Takes a data set for new runs of this browser session and puts it into the address."""
    st.session_state["chosen_data"] = name
    if name:
        st.query_params["data"] = name
    elif "data" in st.query_params:
        del st.query_params["data"]


def bring_in_run(file) -> str:
    """Takes in an exported run and returns its id. Raises UploadError or StoreError."""
    with _let_go(file):
        return uploads.read_run(file, places.runs_folder(), uploads.data_sets())


def bring_in_data(file) -> Path:
    """Takes in a zip file of images and returns its new folder. Raises UploadError."""
    with _let_go(file):
        return uploads.read_data_set(file, uploads.new_folder(file.name)).folder


@contextmanager
def _let_go(file) -> Iterator[None]:
    """Frees an uploaded file at the end: Streamlit would hold it in memory while the tab is open."""
    try:
        yield
    finally:
        if context := get_script_run_ctx():
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def packed(run: Run) -> bytes:
    """The zip file of a run. Raises UploadError."""
    stream = io.BytesIO()
    uploads.export_run(run, stream)
    return stream.getvalue()


def prepare_data_set(progress) -> None:
    """Makes the data set if there is none. Raises DataError."""
    sources.prepare(places.data_folder(), progress=progress)


def all_runs() -> list[Run]:
    """Every run in the folder, newest first."""
    return store.list_runs(places.runs_folder())


def glance(shown: list[Run], others: bool = False) -> tuple:
    """What changes when something happens to these runs, or to any in the folder; cheap, for pages that wait."""
    names = {run.id for run in shown}
    if others:
        with suppress(OSError):
            names |= set(os.listdir(places.runs_folder()))
    changed = []
    for name in sorted(names):
        for file in ("run.json", "label.json"):
            with suppress(OSError):
                changed.append((name, file, (places.runs_folder() / name / file).stat().st_mtime_ns))
    # Only these can change without a trace in the files: their process dies, or their turn comes nearer
    return changed, [status(find_run(run.id)) for run in shown if run.active]


def status(run: Run) -> str:
    """The status in words for the page, with what only this process knows: the place in its queue."""
    before = control.position(run)
    if run.status == "queued" and before is not None:
        return f"queued, {before} before it" if before else "starting"
    return control.status(run)


def pace(run: Run) -> float | None:
    """Seconds until a run is drawn again; None if it does not change any more."""
    if not run.active:
        return None
    if run.status in ("pausing", "stopping"):  # somebody waits for it
        return _PACE
    try:
        steps = store.steps(run)
    except StoreError:  # whoever draws it says so
        return _PACE
    return _PACE if steps.empty or steps["seconds"].iloc[-1] < _LATER else _LATER_PACE


def act(place: str, what: tuple, action: Callable[[], str | None]) -> None:
    """Does what a button asks for, once: the second click of a double click, which says `what` again, does nothing.

    The run whose id `action` returns is then the one that the pages look at. What went wrong is kept for `refused`.
    """
    last, chosen, ended = st.session_state.get("last_act", (None, None, 0.0))
    if what != last or time.monotonic() > ended + _DOUBLE_CLICK:
        chosen = None
        st.session_state.pop("refused", None)
        try:
            chosen = action()
        except (ConfigError, DataError, StoreError, OSError, RuntimeError) as error:
            st.session_state["refused"] = place, str(error)
        # Counted from the end: clicks wait for one another
        st.session_state["last_act"] = what, chosen, time.monotonic()
    choose_run(chosen)


def refused(place: str) -> str | None:
    """Why the last action at this place of a page could not be done; until another one is tried."""
    where, reason = st.session_state.get("refused", (None, None))
    return reason if where == place else None


def begin(config: RunConfig) -> str:
    """Puts a new run on the data set in use into the queue and returns its id."""
    return control.begin(config, data_set(), places.runs_folder())


def resume(run: Run, add_epochs: int = 0) -> None:
    """Puts a run that has ended back into the queue, on the images that it was trained on."""
    control.resume(run, images_of(run), add_epochs)


def images_of(run: Run) -> loader.DataSet:
    """The images that a run was trained on, also if they lie in another folder now. Raises DataError or StoreError."""
    with suppress(DataError):
        if (images := data_set()).fingerprint == run.data["fingerprint"]:
            return images
    return store.data_of(run)


def goes_on_at(run: Run) -> tuple[int, int]:
    """Epoch and step, from 1, at which a run would be resumed. Raises StoreError if it cannot be."""
    with suppress(FileNotFoundError):
        return _saved_step(run.id, (run.folder / "between.pt").stat().st_mtime_ns)
    if not run.result:
        return 1, 1
    if run.format < store.FORMAT:
        raise StoreError("It was trained by an older version of the lab, whose checkpoints do not hold all it takes.")
    epoch, step = run.result["epochs"], run.result["steps"]
    return (epoch + 1, 1) if step >= run.steps_per_epoch else (epoch, step + 1)


@st.cache_data(max_entries=50, show_spinner=False)
def _saved_step(run_id: str, changed: int) -> tuple[int, int]:
    """The step after the run's newest checkpoint; `changed` tells its versions apart."""
    checkpoint, _ = store.newest_checkpoint(find_run(run_id))
    return (checkpoint["training"]["epoch"], checkpoint["training"]["step"] + 1) if checkpoint else (1, 1)


def pause(run: Run) -> None:
    """Saves a run at its next step and lets go of it, or takes it out of the queue, in whatever process it is."""
    control.pause(run)


def stop(run: Run) -> None:
    """Ends a run at its next step, or takes it out of the queue, in whatever process it is."""
    control.stop(run)


def rename(run: Run, name: str) -> None:
    """Gives a run a name; raises ConfigError for one that is too long or not visible."""
    store.rename(run, name)


def archive(runs: list[Run], archived: bool) -> None:
    """Puts runs away, or takes them back."""
    for run in runs:
        store.archive(run, archived)


def delete(runs: list[Run]) -> None:
    """Deletes runs for good. Raises StoreError at the first one that is being trained."""
    for run in runs:
        store.delete(run.folder)


def failure(run: Run) -> str:
    """Why a run failed."""
    return control.failure(run)


def find_run(run_id: str) -> Run:
    """The run with this id; damaged if its folder is gone."""
    return store.read(places.runs_folder() / run_id)


def mine(run: Run) -> bool:
    """Whether this process trains the run."""
    return control.mine(run)


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


def fill_form(config: RunConfig) -> None:
    """Sets every widget of the form to the value that a configuration has."""
    # A run that was brought in may name any preset; without values of its own the default is the neutral one
    st.session_state["form_preset"] = config.preset if config.preset in PRESETS else "facenet"
    for field in settings():
        value = getattr(config, field.name)
        st.session_state[setting_key(field.name)] = written(value) if isinstance(value, tuple) else value


def keep_form() -> None:
    """Fills the form at the first visit and, called on every page, keeps its values while it is not shown."""
    if "form_preset" not in st.session_state:
        fill_form(from_preset(next(iter(PRESETS))))
    for key in ("form_preset", *(setting_key(field.name) for field in settings())):
        st.session_state[key] = st.session_state[key]  # Streamlit forgets the widgets of other pages otherwise


def set_blocks(blocks: tuple[int, ...]) -> None:
    """Sets the form's blocks, e.g. to those that a newly chosen architecture is known for."""
    st.session_state[setting_key("blocks")] = written(blocks)


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
def sprite_sheet(fingerprint: str, _images: loader.DataSet) -> bytes:
    """The set's pictures for the map, made once a set (Streamlit's cache goes by the fingerprint alone)."""
    return pictures.sprite_sheet(_images)


# What was measured after an epoch changes only if the run was stopped within it and resumed: hence `steps`.
def embedded(run: Run) -> Embedded:
    """Embeddings and predictions of a run after its last epoch. Raises StoreError."""
    return _embedded(run.id, run.result["epochs"], run.result["steps"])


@st.cache_data(max_entries=8, show_spinner=False)
def _embedded(run_id: str, epoch: int, steps: int) -> Embedded:
    return store.embedded(find_run(run_id), epoch)


def umap_frame(run: Run) -> np.ndarray:
    """The UMAP (N + Q, 2) of a run's training and test embeddings after its last epoch; kept with the run."""
    return _umap_frame(run.id, run.result["epochs"], run.result["steps"])


@st.cache_data(max_entries=8, show_spinner="Drawing the embedding space (UMAP) …")
def _umap_frame(run_id: str, epoch: int, steps: int) -> np.ndarray:
    run = find_run(run_id)
    frame = store.projection(run, epoch)
    if frame is None:
        frame = projection.umap(np.concatenate(_embedded(run_id, epoch, steps)[:2]), run.config.seed)
        with suppress(StoreError):  # it can be drawn again
            store.save_projection(run, epoch, frame)
    return frame


def pca_frame(run: Run) -> np.ndarray:
    """The PCA (N + Q, 2) of a run's training and test embeddings after its last epoch."""
    return _pca_frame(run.id, run.result["epochs"], run.result["steps"])


@st.cache_data(max_entries=8, show_spinner=False)
def _pca_frame(run_id: str, epoch: int, steps: int) -> np.ndarray:
    return projection.pca(np.concatenate(_embedded(run_id, epoch, steps)[:2]))


def wrong_images(run: Run, images: loader.DataSet) -> pd.DataFrame:
    """The misclassified test images of a run after its last epoch, see core/analysis/mistakes.py."""
    return _wrong_images(run.id, run.result["epochs"], run.result["steps"], images.fingerprint, images)


@st.cache_data(max_entries=8, show_spinner=False)
def _wrong_images(run_id: str, epoch: int, steps: int, fingerprint: str, _images: loader.DataSet) -> pd.DataFrame:
    return mistakes.find(_images, _embedded(run_id, epoch, steps))
