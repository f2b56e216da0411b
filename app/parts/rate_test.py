"""A learning-rate range test from the form: its curve as it grows, and a button that takes over the suggestion."""

from functools import partial

import streamlit as st

from app import access, actions, crowd, reading, session
from app.components.plotly_chart import live_chart
from app.drawing import rates
from app.parts import messages
from core.learning.rate_curve import STEPS
from core.rate_finding import Told
from core.settings.config import RunConfig
from core.settings.in_words import tidy

_DIALOG = "rate_test"
_PACE = 1.0  # seconds between two drawings


def button(config: RunConfig | None) -> None:
    """The button that opens the test; where the learning rate cannot be changed there is none."""
    if session.form().fixed("learning_rate"):
        return
    help = "Trains a copy of the network for 100 steps at growing learning rates and shows where its loss falls."
    open_it = partial(session.open_dialog, _DIALOG)
    st.button(
        "Find a learning rate …",
        key=_DIALOG,
        type="tertiary",
        disabled=config is None,
        help=help,
        on_click=session.whole(open_it),
    )
    if config and session.is_open(_DIALOG):
        _dialog(config)


@st.dialog("Which learning rate?", width="large", on_dismiss=session.whole(session.close_dialog))
def _dialog(config: RunConfig) -> None:
    st.caption(
        "A hundred steps of a network of its own, each with a larger learning rate (Smith, arXiv:1506.01186). A good "
        "rate lies where the loss falls, well before it rises. No run is changed by it."
    )
    crowd.fragment(_live, run_every=_PACE)(config)


def _live(config: RunConfig) -> None:
    about = reading.rate_test(config)
    if about is None or (about.ended and about.error):
        _begin(config, "Begin" if about is None else "Begin anew")
    messages.refused("rate_test")
    if about is None:
        return
    found = about.found
    shown = (found.learning_rates, found.losses, found.smoothed) if found else ((), (), ())
    suggestion = found.suggestion if found and about.ended and not about.error else None
    figure = rates.range_curve(*shown, suggestion)
    live_chart(figure, key="range_test", height=330, alt="loss against the learning rate")
    if not about.ended:
        _going_on(config, about)
    elif about.error:
        st.warning(messages.plain(about.error))
    else:
        _suggested(config, suggestion, found.steepest if found else None)


def _begin(config: RunConfig, label: str) -> None:
    action = partial(actions.find_rate, config)
    st.button(
        label,
        key="rate_begin",
        type="primary",
        on_click=session.whole(actions.act),
        args=("rate_test", ("rate_begin", config), action),
        disabled=not access.actor().takes_part,
        help="It waits its turn among the runs.",
    )


def _going_on(config: RunConfig, about: Told) -> None:
    done = len(about.found.losses) if about.found else 0
    words = f"step {done} of {STEPS} at most" if done else "waits its turn, or its network is being built …"
    st.progress(done / STEPS, text=words)
    end = partial(actions.end_rate_test, config)
    st.button(
        "End the test", key="rate_end", on_click=session.whole(actions.act), args=("rate_test", ("rate_end",), end)
    )


def _suggested(config: RunConfig, suggestion: float | None, steepest: float | None) -> None:
    if suggestion is None:
        st.info("The loss falls at no learning rate. Another network, batch or margin may learn more.")
        return
    steep = f" It falls fastest at {steepest:g}." if steepest else ""
    st.markdown(
        f"Suggestion: **{suggestion:g}**, half way down the longest fall; now {tidy(config.learning_rate)}.{steep}"
    )
    pressed = st.button(
        f"Use {suggestion:g}", key="rate_use", type="primary", on_click=session.whole(_use), args=(suggestion,)
    )
    if pressed:
        st.rerun()  # closes the dialog


def _use(rate: float) -> None:
    session.form().typed("learning_rate", tidy(rate))
    session.close_dialog()
