"""What a page says about who looks at it."""

import html
from collections import Counter

import streamlit as st

from app import access, crowd, reading
from app.parts import messages
from core.classroom.roles import Role

_WAITING = 5.0  # seconds between two looks at the queue


def line() -> None:
    """Who looks at the page and how to become somebody else; nothing where no class shares the lab."""
    if not access.shared():
        return
    actor = access.actor()
    if actor.role == Role.TEACHER:
        said, asked = "You are the teacher.", "Leave"
    elif actor.takes_part:
        said, asked = f"You are {actor.name}. What you begin is yours; you can look at everything else.", "Leave"
    elif actor.role == Role.STUDENT:
        said, asked = "Your name is missing: runs need an owner.", "Choose your name"
    else:
        said, asked = "You look on. To begin runs of your own:", "Enter the class code"
    # st.html: a link of Markdown would open another tab
    st.html(f'<p class="lab-member">{html.escape(said)} <a href="/enter" target="_self">{asked}</a></p>')


def at_work(nobody: bool = False) -> None:
    """Who trains and how many wait, kept up to date; with `nobody` also that nobody does. Only in a shared lab."""
    if access.shared():
        crowd.fragment(_at_work, run_every=_WAITING)(nobody)


def _at_work(nobody: bool) -> None:
    now = reading.at_work()
    if now.running:
        said = f"{_listed(now.running)} train{'s' * (len(set(now.running)) == 1)} now"
        said += (
            f", {len(now.waiting)} wait{'s' * (len(now.waiting) == 1)}: {_listed(now.waiting)}" if now.waiting else ""
        )
        st.caption(messages.plain(said[:1].upper() + said[1:]) + ".")
    elif nobody:
        st.caption("Nobody trains now.")


def _listed(owners: tuple[str, ...]) -> str:
    """Names in their order, with how often."""
    counted = Counter(owner or "the teacher" for owner in owners)
    text = ", ".join(f"{owner} ({count})" if count > 1 else owner for owner, count in counted.items())
    return text


def allowance() -> None:
    """What of the class's limits a student has reached, beside the form; nothing for others."""
    with messages.errors_explained():
        if limits := reading.limits():
            now = reading.active_runs()
            full = ": wait for one, or stop one" * (now >= limits.runs)
            st.caption(f"{now} of {limits.runs} runs · at most {limits.epochs} epochs each{full}")


def all_limits() -> None:
    """All limits of a student, and how much is used."""
    with messages.errors_explained():
        if limits := reading.limits():
            st.caption(
                f"You have {reading.active_runs()} of {limits.runs} runs that wait or are trained, "
                f"{reading.disk_used():.1f} of {limits.disk} GB, and {reading.sets_brought_in()} of {limits.data_sets} "
                f"data sets. A run has at most {limits.epochs} epochs and needs at most {limits.memory} GB of memory; "
                f"a file that is brought in has at most {limits.upload} MB."
            )
