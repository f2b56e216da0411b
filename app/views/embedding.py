"""Embedding: the space into which a run sorts the images, drawn in two dimensions."""

import numpy as np
import streamlit as st

from app import cached, reading, session
from app.components.plotly_chart import embedding_map
from app.drawing import charts, pictures
from app.parts import cards, header, messages
from core import maps
from core.dataset.loader import DataSet
from core.runs.store import Run

METHODS = {
    "UMAP": "UMAP keeps neighbours together. Distances between far groups, and the axes, mean nothing.",
    "PCA": "PCA shows the two directions in which the embeddings differ most; what differs in others lies in one heap.",
}


def inspect(run: Run, images: DataSet, index: int) -> None:
    """The image of one point; for a wrong one with its two neighbours."""
    training = len(images.train.ids)
    if index < training:
        name = images.classes[images.train.labels[index]]
        cards.tiles(pictures.tile(images.train.images[index], f"training image of {name}", images.train.ids[index]))
        return
    row = index - training
    wrong = cached.wrong_images(run, images)
    card = wrong[wrong["test_index"] == row]
    if len(card):
        cards.mistake_grid(card, images)
        return
    heading = f"test image of {images.classes[images.test.labels[row]]}, recognised"
    score = cached.embedded(run).scores[row]
    cards.tiles(pictures.tile(images.test.images[row], heading, images.test.ids[row], f"score {score:.0%}"))


def drawn(run: Run, method: str) -> np.ndarray:
    """The map (N + Q, 2): PCA while UMAP is being drawn, or if it cannot be."""
    if method == "UMAP":
        drawing = maps.umap(run, run.result.epochs)
        if drawing.frame is not None:
            return drawing.frame
        if drawing.error:
            st.warning(f"UMAP could not be drawn, so this is PCA: {messages.plain(drawing.error)}")
        else:
            st.fragment(wait, run_every=1)(drawing)
    return cached.pca_frame(run)[0]


def wait(drawing: maps.Drawing) -> None:
    """How far UMAP has come; draws the page anew when it is there."""
    if drawing.ended:
        st.rerun()
    st.progress(drawing.share, text="UMAP is being drawn; until then this is PCA.")


@messages.errors_explained()
def draw(run: Run) -> None:
    """The map and, beside it, the image of the point that was clicked last."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    points = charts.map_points(images, cached.embedded(run).predicted)
    with st.container(horizontal=True, vertical_alignment="center"):
        method = st.segmented_control(
            "Projection", METHODS, default="UMAP", required=True, key="projection", label_visibility="collapsed"
        )
        st.caption(METHODS[method], width="stretch")
    frame = drawn(run, method)
    figure = charts.embedding_map(frame, points, images.classes)
    map_column, image_column = st.columns([3, 1.35], gap="large")
    with map_column:
        clicked = embedding_map(
            figure,
            cached.sprite_sheet(images),
            images.train.images.shape[2:0:-1],
            pictures.SPRITE_COLUMNS,
            points.captions,
            key=f"map_{run.id}_{method}",
            height=640,
            alt=f"{method} of the embeddings",
        )
    if clicked is not None:
        session.remember(f"picked_{run.id}", clicked)
    with image_column:
        accuracy, wrong = f"{run.result.test_accuracy:.2%}", points.wrong.sum()
        st.metric(f"Test accuracy {header.after(run)}", accuracy, help="Share of test images that are named rightly.")
        st.caption(
            f"Coloured by true class: {len(images.train.ids):,} training images (small dots), "
            f"{len(images.test.ids):,} test images (large dots), {wrong} of them wrong (red cross). Drag to move, turn "
            "the wheel to zoom, click a class to hide it."
        )
        picked = session.recall(f"picked_{run.id}")
        if picked is None:
            st.info("Point at a dot to see its image; click it to keep the image here.")
        else:
            inspect(run, images, picked)


def page() -> None:
    """The run picker and the map."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_embedding")
    if run is None:
        messages.no_runs_yet()
    else:
        st.fragment(draw)(run)
