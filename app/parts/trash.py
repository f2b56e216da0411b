"""The trash: deleted runs and data sets, to be brought back or deleted for good."""

from functools import partial

import streamlit as st

from app import actions, reading, session
from app.parts import messages

MOST_SHOWN = 20


def box() -> None:
    """What of the trash is theirs who look at the page; nothing where there is none."""
    found = reading.in_trash()
    if not found:
        messages.refused("trash")
        return
    with st.expander(f"Trash ({len(found)})", key="trash"):
        for each in found[:MOST_SHOWN]:
            with st.container(horizontal=True, vertical_alignment="center"):
                left = each.thrown.days_left
                kind = "Data set " if each.kind == "data set" else ""
                whose = f" · {messages.plain(each.owner)}" if each.owner else ""
                st.markdown(f"{kind}{messages.plain(each.title)}{whose} · {left} day{'s' * (left != 1)} left")
                back = ("trash", ("back", each.thrown.name), partial(actions.bring_back, each))
                st.button("Bring back", key=f"back_{each.thrown.name}", on_click=session.whole(actions.act), args=back)
        if len(found) > MOST_SHOWN:
            st.caption(f"and {len(found) - MOST_SHOWN} older ones")
        names = tuple(each.thrown.name for each in found)
        with st.popover("Empty the trash …", key="empty_trash_box"):
            st.markdown("What is in it is then lost for good.")
            gone = ("trash", ("empty", *names), partial(actions.empty_trash, found))
            st.button("Delete for good", key="empty_trash", on_click=session.whole(actions.act), args=gone)
        messages.refused("trash")
