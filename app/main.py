"""The dashboard: page set-up and navigation. Runs as `python -m app` and as `streamlit run app/main.py`."""

import sys
from pathlib import Path

if (root := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, root)  # `streamlit run` puts only app/ there

import streamlit as st

from app import state

st.set_page_config(page_title="TripletLab", page_icon="🔺", layout="wide")
st.html(Path(__file__).with_name("style.css"))
state.warm_up()
state.keep_form()
state.choose_data(state.chosen_data())
st.navigation(
    [
        st.Page("views/home.py", title="Home", default=True),
        st.Page("views/train.py", title="Train"),
        st.Page("views/embedding.py", title="Embedding"),
        st.Page("views/mistakes.py", title="Mistakes"),
    ],
    position="top",
).run()
