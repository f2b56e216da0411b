"""What a page says about who looks at it."""

import html

import streamlit as st

from app import access
from core.classroom.roles import Role


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
