"""The receipt of a run: what decides its numbers as a short code, the form that makes it, and whether it is so."""

from functools import partial

import streamlit as st

from app import actions, crowd, reading, session
from app.components.copy_link import copy_link
from app.exercise import Form
from app.parts import messages
from core import replay
from core.runs.store import Run

_PACE = 2.0


def card(run: Run) -> None:
    """The code, the link that fills in the form, and Replay."""
    if not run.result:
        return
    with st.container(border=True, key="receipt"), st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**Receipt** `{replay.receipt(run)}`",
            width="content",
            help="Of settings, seed, images, processor and versions: runs with the same code are one experiment.",
        )
        form = Form()
        form.fill(run.config)
        copy_link({"preset": form.preset} | form.address())
        told = reading.replayed(run)
        waits = told is not None and not told.ended
        st.button(
            "Replay",
            key="replay",
            on_click=session.whole(actions.act),
            args=("receipt", ("replay", run.id), partial(actions.replay, run)),
            disabled=run.active or waits,
            help="Trains it again and compares every number, bit for bit. It takes as long as the run did.",
        )
        with st.container(width="stretch"):
            crowd.fragment(_told, run_every=_PACE if waits else None)(run, waits)
    messages.refused("receipt")


def _told(run: Run, waits: bool) -> None:
    """How far the replay is, or what came of it."""
    found = reading.replayed(run)
    if found is None:
        return
    if waits and found.ended:
        st.rerun()
    if not found.ended:
        st.caption(f"Replaying: {found.epochs} of {run.result.epochs} epochs are the same so far.")
    elif found.error:
        st.error(messages.plain(found.error))
    elif found.found.bit_exact:
        st.success(f"Bit for bit the same: {found.found.epochs} epochs and the weights.")
    else:
        st.warning(
            f"Epoch {found.found.first_difference} is the first that differs: {messages.plain(found.found.what)}"
        )
