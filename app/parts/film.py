"""The maps of a run's epochs on a page: which one is shown, and the film that the browser plays."""

from contextlib import suppress
from typing import NamedTuple

import numpy as np
import streamlit as st

from app import cached, crowd, reading, session
from app.components.plotly_chart import Film
from app.drawing.maps import name_places
from app.parts import messages
from core import maps
from core.analysis.projection import Layout
from core.dataset.loader import DataError, DataSet
from core.runs import explaining, store
from core.runs.files import StoreError
from core.runs.store import Run

_MOST_BYTES = 2_000_000  # of a film on its way to the browser
_BYTES = 16 / 3  # a point and epoch


class Shown(NamedTuple):
    """What the map shows."""

    method: str  # UMAP, PCA or Two classes
    epoch: int
    frame: np.ndarray  # (N + Q, 2)
    frames: dict[int, np.ndarray]  # the same for all epochs of the film, or empty
    said: dict[int, str]  # how far the points moved, by epoch
    settings: tuple = ()  # the classes of the plane, or how UMAP drew


def stored_epochs(run: Run) -> list[int]:
    """The epochs of the film, 0 (before training) the first: all or, of many images, as many as travel fast.

    Raises StoreError if no epoch was evaluated.
    """
    epochs = [0, *(explaining.stored_epochs(run) or maps.epochs(run)[1:])]
    most = max(2, int(_MOST_BYTES / _BYTES / (run.data.train + run.data.test)))
    if len(epochs) <= most:
        return epochs
    return [epochs[place] for place in sorted({round(each) for each in np.linspace(0, len(epochs) - 1, most)})]


def asked_epoch(epochs: list[int]) -> int:
    """The epoch in the address, else the last one; another than those that are there is named."""
    wanted = session.in_address("epoch")
    if wanted is None or (wanted.isdecimal() and int(wanted) in epochs):
        return int(wanted) if wanted else epochs[-1]
    st.warning(f"There is no map of epoch {messages.plain(wanted)}: this is epoch {epochs[-1]}.")
    session.into_address("epoch", None)
    return epochs[-1]


def when(epoch: int) -> str:
    """The moment of a map in words."""
    return f"After epoch {epoch}." if epoch else "Before training (epoch 0): the network has its random first weights."


def choose(epoch: int, epochs: list[int]) -> None:
    """Puts the epoch that is looked at into the address; the last one needs no word, so that a live map goes on."""
    session.into_address("epoch", None if epoch == epochs[-1] else str(epoch))


def wait(drawing: maps.Drawing, told: str) -> None:
    """How far a drawing has come; draws the page anew when it is there."""
    if drawing.ended:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(drawing.share, text=f"{told} ({drawing.share:.0%})")
        if st.button("Cancel", key=f"cancel_{told}"):
            drawing.cancel()
            st.rerun()


def follow(run: Run, layout: Layout) -> None:
    """Draws the page anew when a run in training has ended its next epoch, or its next map is there."""
    images = None
    with suppress(DataError, StoreError):  # the page says so
        images = reading.images_of(run)
    now = reading.find_run(run.id)
    newest = run.result.epochs if run.result else 0
    drawn = session.recall("film_drawn")
    film = maps.live(now, "umap", stored_epochs(now), images, layout) if now.result and now.active else None
    if not now.active or (now.result and now.result.epochs != newest) or (film and len(film.frames) != drawn):
        session.remember("film_drawn", len(film.frames) if film else 0)
        st.rerun()


def shown(run: Run, images: DataSet, method: str, epochs: list[int], layout: Layout) -> Shown:
    """The map of the epoch that is looked at: PCA while UMAP is being drawn, or where it would mislead."""
    with st.container(horizontal=True):  # both waits in one line
        return _shown(run, images, method if method == "PCA" else _umap_or_pca(run, layout), epochs, layout)


def _shown(run: Run, images: DataSet, method: str, epochs: list[int], layout: Layout) -> Shown:
    film = (maps.live if run.active else maps.film)(run, method.lower(), epochs, images, layout=layout)
    if method == "UMAP" and run.active and not film.frames:
        method, film = "PCA", maps.live(run, "pca", epochs, images)
    if run.active or film.done:
        frames = {epoch: film.frames[epoch] for epoch in sorted(film.frames)}
        wanted = asked_epoch(epochs)
        epoch = wanted if wanted in frames else max(frames)
        motions = {each: film.motion(each) for each in frames}
        said = {each: "" if far is None else f"moved by {far:.2f}" for each, far in motions.items()}
        return Shown(method, epoch, frames[epoch], frames, said, layout)
    if not film.ended:
        crowd.fragment(wait, run_every=1)(film, "The maps of all epochs are being drawn")
    else:
        said = f"The other epochs could not be drawn: {messages.plain(film.error)}" if film.error else "No time travel."
        _offer(said, "Draw all epochs", maps.film, run, method.lower(), epochs, images, True, layout)
    last = run.result.epochs
    frame = cached.pca_frame(run)[0] if method == "PCA" else maps.umap(run, last, layout=layout).frame
    return Shown(method, last, frame, {}, {}, layout)


def planes(run: Run, images: DataSet, epochs: list[int], centres: tuple[int, int]) -> Shown:
    """The same epochs on the plane of the centres of two classes."""
    there = [each for each in epochs if each or store.embeddings_file(run, 0).exists()]
    frames = cached.planes(run, images, there, centres)
    epoch = asked_epoch(there)
    return Shown("Two classes", epoch, frames[epoch], frames, dict.fromkeys(frames, ""), centres)


def _umap_or_pca(run: Run, layout: Layout) -> str:
    """UMAP if the last epoch's is there, or is on its way in a run in training; says why it is not."""
    if reason := cached.collapsed(run):
        st.info(
            f"{reason} So this is PCA, on the scale of the whole space. Accuracy can be high all the same: only the "
            "order of the distances decides, however small they are."
        )
        return "PCA"
    if run.active:
        return "UMAP"
    drawing = maps.umap(run, run.result.epochs, layout=layout)
    if drawing.frame is not None:
        return "UMAP"
    if drawing.error or drawing.cancelled:
        said = f"UMAP could not be drawn: {messages.plain(drawing.error)}" if drawing.error else "UMAP was cancelled."
        _offer(f"{said} This is PCA.", "Draw UMAP", maps.umap, run, run.result.epochs, True, layout)
    else:
        crowd.fragment(wait, run_every=1)(drawing, "UMAP is being drawn; until then this is PCA")
    return "PCA"


def _offer(said: str, words: str, action, *arguments) -> None:
    """Says why something was not drawn, with a button that draws it after all."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(said)
        st.button(words, on_click=session.whole(action), args=arguments)


def for_browser(run: Run, images: DataSet, shown: Shown) -> Film | None:
    """The film as the map plays it; None of a single epoch."""
    epochs = list(shown.frames)
    if len(epochs) < 2:
        return None
    labels = np.concatenate([images.train.labels, images.test.labels])
    names = [list(name_places(shown.frames[epoch], labels, len(images.classes)).values()) for epoch in epochs]
    wrong = [rows.tolist() for rows in cached.rings(run, images, epochs)]
    frames = np.stack([shown.frames[epoch] for epoch in epochs])
    names = np.array(names).reshape(len(epochs), -1, 2)
    return Film(epochs, frames, names, wrong, [shown.said[epoch] for epoch in epochs], shown.epoch)


def reach(frames: dict[int, np.ndarray]) -> tuple[np.ndarray, float] | None:
    """Middle and half width of a square that holds the maps of all epochs."""
    if not frames:
        return None
    low = np.min([frame.min(axis=0) for frame in frames.values()], axis=0)
    high = np.max([frame.max(axis=0) for frame in frames.values()], axis=0)
    return (low + high) / 2, float(0.53 * (high - low).max())


def trails(shown: Shown, points: list[int]) -> tuple[tuple[int, np.ndarray], ...]:
    """Where these points have been in the epochs up to the one that is shown."""
    past = [frame for epoch, frame in shown.frames.items() if epoch <= shown.epoch]
    return tuple((point, np.stack([frame[point] for frame in past])) for point in points) if len(past) > 1 else ()
