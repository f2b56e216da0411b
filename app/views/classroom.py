"""Class: how to get in, on the projector; who trains and who waits; what the teacher alone can do."""

import html
import os

import segno
import streamlit as st

from app import access, actions, reading
from app.entrance import PATH
from app.parts import header, members, messages
from core.classroom import codes
from core.classroom.codes import Class
from core.classroom.roles import Role
from core.runs.store import Run

WAITING = 5.0  # seconds between two looks


def way_in(group: Class) -> None:
    """The address, the class code and both as a QR code, large enough for the last row."""
    address = os.environ.get(access.ADDRESS, "")
    picture = segno.make(f"{address}{PATH}?code={group.class_code}").png_data_uri(scale=12, border=3)
    code = codes.spelled(group.class_code)
    st.html(
        f'<div class="lab-way-in"><img src="{picture}" alt="QR code of the page\'s address with the class code">'
        f"<div><small>Open</small><b>{html.escape(address.removeprefix('http://'))}</b>"
        f"<small>and enter the class code</small><b>{code}</b></div></div>"
    )


def at_work() -> None:
    """Who trains and how many wait."""
    active = [run for run in reading.all_runs() if run.active]
    running = [run for run in active if run.status != "queued"]
    waiting = [run for run in active if run.status == "queued"]
    if not active:
        st.info("Nobody trains now.")
        return
    called = header.names(reading.all_runs())
    for run in running:
        st.markdown(f"**{messages.plain(_whose(run))}** trains {messages.plain(called[run.id])}.")
    if waiting:
        whose = sorted({_whose(run) for run in waiting})
        st.caption(f"{len(waiting)} waiting: {messages.plain(', '.join(whose))}")


def _whose(run: Run) -> str:
    return run.owner or "The teacher"


def for_the_teacher(group: Class) -> None:
    """Pause everybody, free a name."""
    st.button(
        "Pause everybody",
        on_click=actions.act,
        args=("class", ("pause_everybody",), actions.pause_everybody),
        help="Saves every run at its next step; whose it is can resume it.",
    )
    messages.refused("class")
    st.subheader(f"{len(group.students)} student{'s' * (len(group.students) != 1)}", anchor=False)
    if not group.students:
        st.caption("Nobody has chosen a name yet.")
        return
    st.caption(messages.plain(", ".join(sorted(group.students, key=str.casefold))))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("A name", sorted(group.students, key=str.casefold), key="freed")
        st.button(
            "Free this name",
            on_click=actions.act,
            args=("class", ("free", name), lambda: actions.free_name(name)),
            help="A student with another computer can then take it anew. Their runs stay theirs.",
        )


def page() -> None:
    """The way in for the class, and what it does."""
    st.title("Class")
    members.line()
    actor = access.actor()
    if not access.shared():
        st.info("No class shares this lab. To let one in, start it with: python -m app --share")
        return
    with messages.errors_explained():
        group = actions.the_class()
        if actor.role in (Role.TEACHER, Role.STUDENT):
            way_in(group)
        st.fragment(at_work, run_every=WAITING)()
        if actor.role == Role.TEACHER:
            for_the_teacher(group)
