"""The microscope: some triplets or images of a run's latest step, and what the step changed."""

import streamlit as st

from app import reading
from app.drawing import specimens
from app.parts import messages
from core.dataset.loader import DataError
from core.runs import latest_step
from core.runs.files import StoreError
from core.runs.store import Run


def show(run: Run) -> None:
    """Draws it; what is missing is said in a line, in the same place."""
    try:
        found = latest_step.read(run)
        if found is None:
            st.caption("Microscope: nothing to look at before the first step.")
            return
        told = latest_step.described(run, found, reading.images_of(run))
    except (StoreError, DataError) as error:
        st.caption(messages.plain(f"Microscope: {error}"))
        return
    st.html(specimens.drawn(told, found.pixels))
