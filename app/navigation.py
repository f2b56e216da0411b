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
    pages = [page(name) for name in shown]
    current = st.navigation(pages, position="top")
    _keys(current, pages)
    current.run()


def _keys(current, pages: list) -> None:
    """The keys that do something, in the bar of pages; style.css keeps them out of the way."""
    place = next((place for place, each in enumerate(pages) if each.url_path == current.url_path), 0)
    here = "S start · P pause, resume · " if current.title == PAGES["train"][0] else ""
    with st.container(key="keys"):
        st.html(f'<span title="Not while you type into a field.">Keys: {here}N next page</span>')
        if st.button("Next page", key="next_page", shortcut="N"):
            st.switch_page(pages[(place + 1) % len(pages)])


def link(name: str, label: str, **address: str) -> None:
    """A link to one of PAGES; `address` is what stands behind its name, e.g. run and image."""
    st.page_link(page(name), label=label, query_params=address or None)
