"""The dashboard: page set-up and navigation. Runs as `python -m app` and as `streamlit run app/main.py`."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, root)  # `streamlit run` puts only app/ there

import streamlit as st

from app import cached, navigation, reading, session
from app.parts import messages

st.set_page_config(page_title="TripletLab", page_icon="🔺", layout="wide")
st.html(Path(__file__).with_name("style.css"))
cached.warm_up()
session.keep_form()
reading.settle_data()
with st.container():  # always there, so that the page below keeps its place
    messages.notices()
navigation.run()
