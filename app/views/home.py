"""Home: which images are in use, which runs there are, what to do first."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cards, state
from core.config import title
from core.data import DataError

st.title("TripletLab")
st.markdown(
    "Train a small network on small images, watch it learn, see the space into which it sorts them, and look at every "
    "mistake beside the two training images it lies nearest to."
)

left, right = st.columns([3, 2], gap="large")

with left:
    st.subheader("What to do first")
    steps = [
        ("views/train.py", "1. Train", "Pick a preset and press Start. “Quick look” shows something within a minute."),
        ("views/embedding.py", "2. Embedding", "See which digits the network holds for similar. Point at a dot."),
        ("views/mistakes.py", "3. Mistakes", "Judge each error: a bad image, a wrong label, or a weak network?"),
    ]
    for column, (page, name, text) in zip(st.columns(3), steps, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.page_link(page, label=f"**{name}**")
            st.caption(text)

with right:
    st.subheader("Data set in use")
    try:
        images = state.data_set()
        st.markdown(images.description)
        height, width = images.train.images.shape[1:]
        st.caption(f"{width} x {height} pixels, {len(images.classes)} classes, in {images.folder}")
        firsts = [int(np.flatnonzero(images.train.labels == label)[0]) for label in range(len(images.classes))][:20]
        cards.strip(
            [images.train.images[row] for row in firsts], [f"training image {images.train.ids[r]}" for r in firsts]
        )
    except DataError as error:
        st.error(str(error))
        if st.button("Prepare the data set", help="MNIST if there is a network, otherwise scikit-learn's digits"):
            with st.status("Preparing the data set …") as progress:
                try:
                    state.prepare_data_set(progress.write)
                    st.rerun()
                except DataError as failed:
                    st.error(str(failed))

st.subheader("Runs")
runs = state.all_runs()
cards.damaged(runs)
whole = [run for run in runs if run.config]
if whole:
    table = pd.DataFrame(
        {
            "Run": [title(run.config) for run in whole],
            "Begun": [run.created for run in whole],
            "Status": [state.status(run) for run in whole],
            "Epochs": [f"{run.result.get('epochs', 0)} of {run.config.epochs}" for run in whole],
            "Test accuracy": [run.result.get("test_accuracy") for run in whole],
            "Mistakes": pd.array([run.result.get("mistakes") for run in whole], dtype="Int64"),
            "Time": [run.seconds for run in whole],
            "Images": [run.data["source"] for run in whole],
            "Id": [run.id for run in whole],
        }
    )
    selection = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        on_select="rerun",
        selection_mode="single-row",
        key="runs_table",
        column_config={
            "Begun": st.column_config.DatetimeColumn(format="D MMM HH:mm"),
            "Test accuracy": st.column_config.NumberColumn(
                format="percent", help="Fraction of the test images named rightly after the last epoch."
            ),
            "Mistakes": st.column_config.NumberColumn(help="Misclassified test images after the last epoch."),
            "Time": st.column_config.NumberColumn(format="%.0f s", help="Training and evaluation."),
            "Images": st.column_config.TextColumn(help="The source of the data set: mnist, digits or a folder."),
        },
    )
    if rows := selection.selection.rows:
        state.choose_run(whole[rows[0]].id)
        st.caption(f"{whole[rows[0]].id} is now the run on every page.")
    else:
        st.caption("Tick a run to look at it on the other pages.")
elif not runs:
    st.caption("None yet. Runs are kept in the folder checkpoints/ and listed here, also after a restart.")
