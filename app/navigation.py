"""The pages: their titles, addresses and functions, and links to them. A new page is one line here."""

import pkgutil

import streamlit as st

from app import access

PAGES = {  # by the name in the address: title, and the function that draws it
    "home": ("Home", "app.views.home:page"),
    "train": ("Train", "app.views.train:page"),
    "runs": ("Runs", "app.views.runs:page"),
    "embedding": ("Embedding", "app.views.embedding:page"),
    "try": ("Try it", "app.views.try_it:page"),
    "mistakes": ("Mistakes", "app.views.mistakes:page"),
    "class": ("Class", "app.views.classroom:page"),
}


def page(name: str):
    """One of PAGES as Streamlit knows it; its module is imported when it is asked for."""
    title, function = PAGES[name]
    return st.Page(pkgutil.resolve_name(function), title=title, url_path=name, default=name == "home")


def run() -> None:
    """Draws the bar of pages and the page in the address; that of the class only where there is one."""
    shown = [name for name in PAGES if name != "class" or access.shared()]
    st.navigation([page(name) for name in shown], position="top").run()


def link(name: str, label: str, **address: str) -> None:
    """A link to one of PAGES; `address` is what stands behind its name, e.g. run and image."""
    st.page_link(page(name), label=label, query_params=address or None)
