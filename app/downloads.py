"""Files that are made when somebody asks for them: the one door to `st.download_button`."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

_ON_ITS_WAY = 0.25  # seconds from a click on a button until what was typed before is here
_LONGEST = 5.0  # seconds that the drawing may take which keeps it


def button(label: str, content: Callable[[], bytes], name: str, mime: str = "application/octet-stream", **look) -> None:
    """A button that downloads a file called `name`; `content` makes it when the button is pressed, and may raise.

    Nothing is drawn anew: a page that is drawn while its file is being made would take the file away.
    """
    made = partial(_in_session, get_script_run_ctx(), content, name, mime)
    st.download_button(label, made, name, mime, on_click="ignore", **look)


def _in_session(context, content: Callable[[], bytes], name: str, mime: str) -> bytes:
    """Makes a file as part of a browser session: who asks is known, and the file is kept until it has been fetched.

    Streamlit makes it in a thread without a session, where nobody has a role, and drops a file that no session holds
    as soon as any two browsers have been drawn.
    """

    def make() -> bytes:
        _wait_for_what_was_typed(context.session_id)
        made = content()
        runtime.get_instance().media_file_mgr.add(made, mime, f"download {name}", name, is_for_static_download=True)
        return made

    with ThreadPoolExecutor(1, initializer=add_script_run_ctx, initargs=(None, context)) as thread:
        return thread.submit(make).result()


def _wait_for_what_was_typed(browser: str) -> None:
    """A click leaves the text field: its text comes at about the same time as the click, and is kept by a drawing."""
    time.sleep(_ON_ITS_WAY)
    end = time.monotonic() + _LONGEST
    session = runtime.get_instance().get_app_session(browser)
    while session and session._scriptrunner and time.monotonic() < end:
        time.sleep(0.02)
