"""The microscope: some triplets or images of a run's latest step, and what the step changed."""

from functools import partial

import streamlit as st

from app import cached, reading
from app.parts import messages
from core.dataset.loader import DataError
from core.runs.files import StoreError
from core.runs.store import Run


def show(run: Run) -> None:
    """Draws it; what is missing is said in a line, in the same place."""
    try:
        drawn = cached.microscope(run, reading.moment(run), partial(reading.images_of, run))
    except (StoreError, DataError) as error:
        st.caption(messages.plain(f"Microscope: {error}"))
        return
    if drawn:
        st.html(drawn)
    else:
        st.caption("Microscope: nothing to look at before the first step.")
