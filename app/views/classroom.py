"""Class: how to get in, on the projector; who trains and who waits; what the teacher alone can do."""

import html
import os
from urllib.parse import urlsplit

import segno
import streamlit as st

from app import access, actions, session
from app.entrance import PATH
from app.parts import members, messages
from core.classroom import codes
from core.classroom.codes import Class
from core.classroom.roles import Role


def address_for_others(seen: str | None) -> str:
    """Where the class finds the lab: as in this browser's address bar, with the name of a proxy, say. On the lab's own
    computer that is no use to others: there it is the address in the network.
    """
    here = urlsplit(seen or "")
    if here.hostname in (None, "localhost", "127.0.0.1", "::1"):
        return os.environ.get(access.ADDRESS, "")
    return f"{here.scheme}://{here.netloc}"


def way_in(group: Class) -> None:
    """The address, the class code and both as a QR code, large enough for the last row."""
    address = address_for_others(st.context.url)
    picture = segno.make(f"{address}{PATH}?code={group.class_code}").png_data_uri(scale=12, border=3)
    code = codes.spelled(group.class_code)
    st.html(
        f'<div class="lab-way-in"><img src="{picture}" alt="QR code of the page\'s address with the class code">'
        f"<div><small>Open</small><b>{html.escape(address.removeprefix('http://'))}</b>"
        f"<small>and enter the class code</small><b>{code}</b></div></div>"
    )


def for_the_teacher(group: Class) -> None:
    """Pause everybody, free a name."""
    st.button(
        "Pause everybody",
        key="pause_everybody",
        on_click=session.whole(actions.act),
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
            key="free_name",
            on_click=session.whole(actions.act),
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
        members.at_work(nobody=True)
        members.all_limits()
        if actor.role == Role.TEACHER:
            for_the_teacher(group)
