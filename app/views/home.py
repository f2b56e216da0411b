"""Home: which images are in use, which runs there are, what to do first."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from app import access, actions, navigation, reading, session
from app.drawing.comparison import run_colour
from app.parts import cards, header, members, messages
from core.dataset.loader import DataError

_LATEST = 4  # runs that are named


def latest_runs() -> None:
    """The newest runs in a line each, and the way to all of them."""
    every = reading.all_runs()
    runs = [run for run in every if not run.archived]
    st.subheader("Latest runs", anchor=False)
    if not runs:
        st.caption("None yet. Runs are kept in the folder checkpoints/ and listed here, also after a restart.")
        return
    names = header.names(every)
    header.damaged(runs)
    for run in runs[:_LATEST]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            dot = f'<span class="lab-dot" style="background:{run_colour(run)}"></span>'
            st.html(dot, width="content")
            navigation.link("train", messages.plain(names[run.id]), run=run.id)
            header.status_badge(run)
            if alarm := header.alarm_of(run):
                st.badge(alarm, icon="⚠️", color="orange")
            whose = f"{messages.plain(run.owner or 'teacher')} · " if access.shared() else ""
            st.caption(whose + (header.headline(run) if run.config else ""), width="stretch")
    navigation.link("runs", f"→ All {len(every)} runs: compare, name, export, delete" if len(every) > 1 else "→ Runs")


def upload_form(what: str, about: str, take: Callable[[object], str], most: int | None) -> None:
    """A form for one zip file of at most so many MB; `take` checks and keeps it and says where it is now."""
    key = what.split()[0]
    with st.form(f"bring_{key}", clear_on_submit=True, border=False):
        st.markdown(about)
        file = st.file_uploader(
            what.capitalize(), type="zip", key=f"{key}_file", label_visibility="collapsed", max_upload_size=most
        )
        if st.form_submit_button(f"Bring in the {what}"):
            with messages.errors_explained(), st.spinner(f"Checking every file of the {what} …"):
                if file is None:
                    st.warning("Choose a zip file first.")
                else:
                    session.remember("brought_in", take(file))
                    st.rerun()


def bring_in_run(file) -> str:
    """Makes an uploaded run one of the lab's, and the run on every page."""
    run_id = actions.bring_in_run(file)
    session.choose_run(run_id)
    return f"{run_id} is on the Runs page, and the run on every page."


def bring_in_data(file) -> str:
    """Makes an uploaded data set the one for this browser window's new runs."""
    folder = actions.bring_in_data(file)
    session.choose_data(folder.name)
    return f"The images are in {folder} and in use for your new runs."


def first_steps() -> None:
    """What the pages are for, in the order of a first visit."""
    st.subheader("What to do first")
    steps = [
        ("train", "1. Train", "Pick a preset and press Start. “Quick look” shows something within a minute."),
        ("embedding", "2. Embedding", "See which digits the network holds for similar. Point at a dot."),
        ("mistakes", "3. Mistakes", "Judge each error: a bad image, a wrong label, or a weak network?"),
    ]
    for column, (page, name, text) in zip(st.columns(3), steps, strict=True):
        with column, st.container(border=True, height="stretch"):
            navigation.link(page, f"**{name}**")
            st.caption(text)


def data_in_use() -> None:
    """The data set for new runs, with an image of each class; without one, the way to it."""
    st.subheader("Data set in use")
    if len(sets := reading.data_sets()) > 1:
        session.remember("data_set", reading.chosen_data())
        st.selectbox(
            "Data set",
            list(sets),
            format_func=lambda name: name or "the lab's own",
            key="data_set",
            label_visibility="collapsed",
            help="For new runs of this browser window. Finished runs keep theirs.",
            on_change=session.whole(lambda: session.choose_data(session.recall("data_set"))),
        )
    if owner := reading.owner_of_data(reading.chosen_data()):
        st.caption(f"Brought in by {messages.plain(owner)}")
    offer_to_delete(reading.chosen_data())
    try:
        with st.spinner("Reading the images …"):  # shows if it takes long
            images = reading.data_set()
        st.markdown(messages.plain(images.description))
        height, width = images.train.images.shape[1:]
        st.caption(messages.plain(f"{width} x {height} pixels, {len(images.classes)} classes, in {images.folder}"))
        firsts = [int(np.flatnonzero(images.train.labels == label)[0]) for label in range(len(images.classes))[:20]]
        names = [f"training image {images.train.ids[row]}" for row in firsts]
        cards.strip([images.train.images[row] for row in firsts], names)
        header.about_images(images.notes)
    except DataError as error:
        st.error(messages.plain(str(error)))
        if not reading.chosen_data():
            offer_to_prepare()


def offer_to_delete(name: str) -> None:
    """A button that moves an uploaded data set into the trash, for those who may."""
    if name and access.actor().may_change(reading.owner_of_data(name)):
        st.button(
            "Delete this data set",
            key="delete_data",
            on_click=session.whole(actions.act),
            args=("data", ("delete", name), lambda: actions.delete_data(name)),
            help="Moves it to the trash, which is on the page Runs.",
        )
    messages.refused("data")


def offer_to_prepare() -> None:
    """A button that makes the data set."""
    if st.button("Prepare the data set", help="MNIST if there is a network, otherwise scikit-learn's digits"):
        with st.status("Preparing the data set …") as progress:
            try:
                actions.prepare_data_set(progress.write)
                st.rerun()
            except DataError as failed:
                st.error(messages.plain(str(failed)))


def exchange() -> None:
    """Runs and data sets in."""
    if taken := session.recall("brought_in"):
        st.success(messages.plain(taken))
        session.remember("brought_in", None)
    if not access.actor().takes_part:
        st.caption("You look on. Who has entered the class code can bring in runs and data sets.")
        return
    limits = reading.limits()
    most = limits and limits.upload
    of_sets = f" ({reading.sets_brought_in()} of {limits.data_sets})" if limits else ""
    run_column, data_column = st.columns(2, gap="medium")
    with run_column:
        upload_form("run", "**A run** that was downloaded from a lab", bring_in_run, most)
    with data_column:
        upload_form("data set", f"**A data set** in folders, see below{of_sets}", bring_in_data, most)
    st.caption(
        "A data set is a zip file with train/CLASS/ID.png and test/CLASS/ID.png, or with class folders alone: a fifth "
        "of each is then drawn for testing. MNIST's four files, tables of pixels (label,pixel0,…) and .npz files are "
        "read as well. Every file is checked before it is used: only images and numbers are taken, and nothing in it "
        "is run. Everyone who uses this lab can choose a data set or look at a run that you bring in."
    )


def page() -> None:
    """The way in, the data set in use, and the runs."""
    st.title("TripletLab")
    members.line()
    st.markdown(
        "Train a small network on small images, watch it learn, see the space into which it sorts them, and look at "
        "every mistake beside the two training images it lies nearest to."
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        first_steps()
    with right:
        data_in_use()
    members.at_work()
    with messages.errors_explained():
        latest_runs()
    with st.expander("Bring in a run or a data set"):
        exchange()
