"""Who looks at a page: asked anew for every action, so that new codes count at once."""

import os

import streamlit as st

from core import places
from core.classroom import codes
from core.classroom.roles import STRANGER, TEACHER, Actor
from core.runs.files import StoreError

ADDRESS = "TRIPLETLAB_ADDRESS"  # of a shared lab, in its network
VARIABLE = "TRIPLETLAB_SHARED"  # "all" or "none": who may look on in a shared lab; not set in one that is not


def share(viewers: str, address: str) -> None:
    """Makes this process's lab one that a class shares; `viewers` is "all" or "none", `address` that in the network."""
    os.environ[VARIABLE], os.environ[ADDRESS] = viewers, address


def shared() -> bool:
    """Whether a class shares this lab. If not, nobody but this computer reaches it, and nobody is asked."""
    return VARIABLE in os.environ


def actor() -> Actor:
    """Who looks at this page. Nobody who is known where the file of codes cannot be read."""
    return of(st.context.cookies) if shared() else TEACHER


def of(cookies) -> Actor:
    """Who has these cookies in a shared lab."""
    try:
        return codes.read(places.runs_folder()).actor(cookies, os.environ[VARIABLE] == "all")
    except StoreError:
        return STRANGER
