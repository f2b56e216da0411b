"""Embedding: the space into which a run sorts the images, drawn in two dimensions."""

import pandas as pd
import streamlit as st

from app import cards, charts, pictures, state
from app.components.plotly_chart import embedding_map
from core import store
from core.data import DataSet
from core.store import Run

METHODS = {
    "UMAP": "UMAP keeps neighbours together. Distances between far groups, and the axes, mean nothing.",
    "PCA": "PCA shows the two directions in which the embeddings differ most; what differs in others lies in one heap.",
}


def inspect(run: Run, images: DataSet, predicted: pd.DataFrame, index: int) -> None:
    """The image of one point; for a wrong one with its two neighbours."""
    training = len(images.train.ids)
    if index < training:
        name = images.classes[images.train.labels[index]]
        cards.tiles(pictures.tile(images.train.images[index], f"training image of {name}", images.train.ids[index]))
        return
    row = predicted.iloc[index - training]
    name_of = dict(zip(images.class_numbers, images.classes, strict=True))
    if row["true"] == row["predicted"]:
        heading = f"test image of {name_of[row['true']]}, recognised"
        cards.tiles(
            pictures.tile(images.test.images[index - training], heading, row["id"], f"score {row['score']:.0%}")
        )
        return
    wrong = store.mistakes(run)
    number = wrong["test_index"].tolist().index(index - training)
    cards.mistake_grid(wrong.iloc[[number]], images)


@cards.errors_explained()
def draw(run: Run) -> None:
    """The map and, beside it, the image of the point that was clicked last."""
    images, predicted = store.data_of(run), store.predictions(run)
    epoch = store.epochs_with_embeddings(run)[-1]
    with st.container(horizontal=True, vertical_alignment="center"):
        method = st.segmented_control(
            "Projection", METHODS, default="UMAP", required=True, key="projection", label_visibility="collapsed"
        )
        st.caption(METHODS[method], width="stretch")
    frame = (state.umap_frame if method == "UMAP" else state.pca_frame)(run.id, epoch)
    points = charts.map_points(images, predicted)
    figure = charts.embedding_map(frame, points, images.classes)
    map_column, image_column = st.columns([3, 1.35], gap="large")
    with map_column:
        clicked = embedding_map(
            figure,
            state.sprite_sheet(run.data["fingerprint"], images),
            images.train.images.shape[2:0:-1],
            pictures.SPRITE_COLUMNS,
            points.captions,
            key=f"map_{run.id}_{method}",
            height=640,
        )
    if clicked is not None:
        state.preset_widget(f"picked_{run.id}", clicked)
    with image_column:
        wrong = int(points.wrong.sum())
        accuracy = run.result["test_accuracy"]
        st.metric(f"Test accuracy after epoch {epoch}", f"{accuracy:.2%}", help="Fraction of the test images.")
        st.caption(
            f"{len(images.train.ids):,} training images (small dots), {len(images.test.ids):,} test images (large "
            f"dots), {wrong} of them wrong (red cross). Drag to move, turn the wheel to zoom, click a class to hide it."
        )
        picked = state.recall(f"picked_{run.id}")
        if picked is None:
            st.info("Point at a dot to see its image; click it to keep the image here.")
        else:
            inspect(run, images, predicted, picked)


runs = [run for run in state.all_runs() if run.result]
run = cards.pick_run(runs, key="run_on_embedding")
if run is None:
    cards.no_runs_yet()
else:
    st.fragment(draw)(run)
