"""The dashboard: page set-up and navigation. Runs as `python -m app` and as `streamlit run app/main.py`."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, root)  # `streamlit run` puts only app/ there

import streamlit as st

from app import access, cached, crowd, navigation, reading, session
from app.guard import Guard
from app.kept import Kept
from app.parts import members, messages


def page() -> None:
    """Draws the page that the address names."""
    st.set_page_config(page_title="TripletLab", page_icon="🔺", layout="wide")
    st.html(Path(__file__).with_name("style.css"))
    # Said either way: what is left out goes only once the whole page has been drawn
    st.html(Path(__file__).with_name("projector.css") if session.projected() else "<style></style>")
    if not access.actor().may_look():
        members.line()
        return
    cached.warm_up()
    session.keep_form()
    reading.settle_data()
    messages.notices()
    navigation.run()


if __name__ == "main":  # `streamlit run` looks for the server here, and imports it
    from starlette.middleware import Middleware

    app = st.App(Path(__file__).resolve(), middleware=[Middleware(Guard), Middleware(Kept)])
elif __name__ == "__main__":  # so Streamlit calls it; a process that helps it, "__mp_main__", draws nothing
    with crowd.turn():
        page()
