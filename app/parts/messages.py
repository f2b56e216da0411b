"""What is said on the pages: plain text, reasons, errors, durations."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app import actions, navigation, session
from core.classroom.limits import LimitReached
from core.dataset.loader import DataError
from core.exchange.archives import UploadError
from core.runs.files import StoreError
from core.settings.config import settings
from core.settings.setting import ConfigError

_MARKDOWN = re.compile(r"([\\`*_\[\]<>$:~|#&!])")  # what makes pictures, links, colours, formulas and headings
# Streamlit looks for these after escapes are gone: addresses, :icons:, and arrows that it would set anew
_LATE = re.compile(r"(:(?=//)|:(?=\S*:)|www(?=\.)|@(?=\w)|[<>~-](?=[>=-]))", re.IGNORECASE)
_JOINER = "\u2060"  # a word joiner: nobody sees it, and no pattern goes across it


def plain(text: str) -> str:
    """Text that Markdown shows as it is: names and reasons may come from another computer."""
    text = _LATE.sub(rf"\1{_JOINER}", " ".join(text.split()))
    number = re.match(r"\d+(?=[.)]( |$))", text)
    begin = f"{number[0]}\\" if number else "\\" * text.startswith(("-", "+", "="))
    return begin + _MARKDOWN.sub(r"\\\1", text[len(number[0]) :] if number else text)


def duration(seconds: float) -> str:
    """A duration for people, e.g. "42 s" or "2 min 42 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02} s"


def percent(share: float) -> str:
    """A share for people, with one decimal, e.g. "98.6 %"."""
    return f"{100 * share:.1f} %"


def confidence(share: float) -> str:
    """A score for people, e.g. "60 %": of five neighbours, a decimal would say nothing."""
    return f"{100 * share:.0f}\u00a0%"


def worded(error: Exception) -> str:
    """Why something was refused, with the label of the setting that it is about, if it is about one."""
    if isinstance(error, ConfigError) and error.setting:
        labels = {field.name: field.label for field in settings()}
        return plain(f"{labels.get(error.setting, error.setting)}: {error.reason}")
    return plain(str(error))


@contextmanager
def errors_explained() -> Iterator[None]:
    """Shows the message of a damaged run, a refused file or an unwritable folder instead of its traceback."""
    try:
        yield
    except (ConfigError, DataError, StoreError, UploadError, LimitReached, OSError) as error:
        st.error(worded(error))


def refused(place: str) -> None:
    """Why the last button pressed at this place could not do what it says."""
    if error := actions.refused(place):
        st.error(worded(error))


def notices() -> None:
    """What happened that somebody should know, until it has been read."""
    if told := session.notices():
        with st.container(horizontal=True, vertical_alignment="center", key="notices"):
            st.warning("\n\n".join(map(plain, told)))
            st.button("Understood", on_click=session.whole(session.clear_notices))


def no_runs_yet() -> None:
    """What a page shows before there is anything to look at."""
    st.info("There is no finished run to look at yet. Train one first: the preset “Quick look” takes about a minute.")
    navigation.link("train", "→ Go to Train")
