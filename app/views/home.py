"""Home: which images are in use, which runs there are, what to do first."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from app import access, actions, navigation, reading, session
from app.parts import cards, header, members, messages
from core.dataset.loader import DataError
from core.runs.checks import LONGEST_NAME
from core.runs.files import StoreError
from core.runs.store import Run

BEING_TRAINED = "Being trained: stop it first."
WAITING = 5.0  # seconds between two looks at whether the runs have changed


def epochs_of(run: Run) -> str | None:
    """The epochs that were evaluated, of those asked for; None if the run is damaged."""
    return f"{run.result.epochs if run.result else 0} of {run.config.epochs}" if run.config else None


def table_of(runs: list[Run], names: dict[str, str]) -> pd.DataFrame:
    """The runs as they are listed, one a row, called by `names`; what is not known is empty."""
    accuracies = [run.result and run.result.test_accuracy for run in runs]
    epochs = [epochs_of(run) for run in runs]
    table = pd.DataFrame(
        {
            "Run": [names[run.id] for run in runs],
            "Begun": pd.Series([run.created if run.config else None for run in runs], dtype="datetime64[ns]"),
            "Status": [reading.status(run) for run in runs],
            "Epochs": epochs,
            "Test accuracy": pd.array(accuracies, dtype="Float64") * 100,
            "Mistakes": pd.array([run.result and run.result.mistakes for run in runs], dtype="Int64"),
            "Time": pd.array([run.seconds for run in runs], dtype="Float64"),
            "Images": [run.data and run.data.source for run in runs],
            "Id": [run.id for run in runs],
        }
    )
    if any(alarms := [run.result and run.result.alarm for run in runs]):
        table.insert(5, "Alarm", alarms)
    if any(run.owner for run in runs):
        table.insert(1, "Owner", [run.owner or "teacher" for run in runs])
    if any(run.archived for run in runs):
        table.insert(3, "Archived", ["yes" if run.archived else None for run in runs])
    return table


def ticked_runs(runs: list[Run], names: dict[str, str]) -> list[Run]:
    """Draws the table; returns the runs that are ticked."""
    selection = st.dataframe(
        table_of(runs, names),
        hide_index=True,
        width="stretch",
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        # A tick belongs to a row: with other rows it must not move on to another run
        key=f"runs_{hash(tuple(run.id for run in runs)) % 2**32}",
        column_config={
            "Begun": st.column_config.DatetimeColumn(format="D MMM HH:mm"),
            "Test accuracy": st.column_config.NumberColumn(
                format="%.1f %%", help="Share of the test images classified correctly after the last epoch."
            ),
            "Alarm": st.column_config.TextColumn(
                help="What looks wrong with the training; in full on the run's pages."
            ),
            "Mistakes": st.column_config.NumberColumn(help="Misclassified test images after the last epoch."),
            "Time": st.column_config.NumberColumn(format="%.0f s", help="Training and evaluation."),
            "Images": st.column_config.TextColumn(help="The source of the data set: mnist, digits or a folder."),
        },
    )
    return [runs[row] for row in selection.selection.rows if row < len(runs)]


def buttons(ticked: list[Run]) -> None:
    """What can be done with the ticked runs."""
    ids = tuple(run.id for run in ticked)
    if foreign := [run for run in ticked if not access.actor().may_change(run.owner)]:
        st.caption(
            f"Only {messages.plain(foreign[0].owner or 'the teacher')} can rename, archive or delete "
            f"{'this run' if len(ticked) == 1 else 'all of these'}."
        )
        messages.refused("runs")
        return
    training = [run for run in ticked if run.active]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(ticked) == 1:
            (run,) = ticked
            key = f"name_{run.id}"
            with st.container(width=380):
                st.text_input("Name", run.called[:LONGEST_NAME], LONGEST_NAME, key=key)
            # Looked up when the button is pressed: the click arrives together with what was typed
            action = lambda: actions.rename(run, session.recall(key))  # noqa: E731
            st.button("Rename", on_click=actions.act, args=("runs", ("rename", *ids), action))
        for archived, label, help in (
            (True, "Archive", "Puts it away: it is listed only with “Show archived”. Nothing is deleted."),
            (False, "Take back", "Lists it again."),
        ):
            if meant := [run for run in ticked if run.archived != archived]:
                action = partial(actions.archive, meant, archived)
                st.button(
                    label,
                    help=BEING_TRAINED if training else help,
                    on_click=actions.act,
                    args=("runs", (label, *ids), action),
                    disabled=bool(training),
                )
        st.button(
            "Delete …",
            on_click=session.remember,
            args=("to_delete", ids),
            disabled=bool(training),
            help=BEING_TRAINED if training else "Asks before anything is lost.",
        )
    messages.refused("runs")


@st.dialog("Delete for good?", on_dismiss=lambda: session.remember("to_delete", ()))
def confirm_deletion(runs: list[Run], names: dict[str, str]) -> None:
    """Names the runs and what will be lost."""
    for run in runs:
        facts = [f"{epochs_of(run)} epochs" if run.config else "damaged"]
        if accuracy := run.result and run.result.test_accuracy:
            facts.append(f"test accuracy {messages.percent(accuracy)}")
        st.markdown(f"**{messages.plain(names[run.id])}** · {' · '.join(facts)}")
        st.caption(messages.plain(str(run.folder)))
    st.markdown("Weights, curves, embeddings and mistakes will be lost. Exported pictures stay.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key="delete_for_good"):
            try:
                actions.delete(runs)
                session.remember("to_delete", ())
                st.rerun()
            except (StoreError, OSError) as error:
                st.error(messages.plain(str(error)))
        if st.button("Keep", key="keep"):
            session.remember("to_delete", ())
            st.rerun()


def runs_section() -> None:
    """The table of runs and what can be done with them."""
    runs = reading.all_runs()
    names = header.names(runs)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Runs", width="content", anchor=False)  # the table's own tools are at its right
        if away := sum(run.archived for run in runs):
            st.toggle(f"Show archived ({away})", key="show_archived")
    if not (away and session.recall("show_archived")):
        runs = [run for run in runs if not run.archived]
    header.damaged(runs)
    if runs:
        ticked = ticked_runs(runs, names)
        if len(ticked) == 1 and ticked[0].config:
            session.choose_run(ticked[0].id)
            st.caption(f"{ticked[0].id} is now the run on every page.")
        elif not ticked:
            st.caption("Tick a run to look at it on the other pages, to name, archive or delete it.")
        if ticked:
            buttons(ticked)
    elif away:
        st.caption("All runs are archived.")
    else:
        st.caption("None yet. Runs are kept in the folder checkpoints/ and listed here, also after a restart.")
    if named := [run for run in runs if run.id in (session.recall("to_delete") or ())]:
        confirm_deletion(named, names)
    st.fragment(look_out, run_every=WAITING)(reading.glance(runs, others=True), runs)


def look_out(seen: tuple, runs: list[Run]) -> None:
    """Draws nothing; draws the page anew when something has happened to a run."""
    if reading.glance(runs, others=True) != seen:
        st.rerun()


def upload_form(what: str, about: str, take: Callable[[object], str]) -> None:
    """A form for one zip file; `take` checks and keeps it and says where it is now."""
    key = what.split()[0]
    with st.form(f"bring_{key}", clear_on_submit=True, border=False):
        st.markdown(about)
        file = st.file_uploader(what.capitalize(), type="zip", key=f"{key}_file", label_visibility="collapsed")
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
    return f"{run_id} is in the list above, and the run on every page."


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
            on_change=lambda: session.choose_data(session.recall("data_set")),
        )
    if owner := reading.owner_of_data(reading.chosen_data()):
        st.caption(f"Brought in by {messages.plain(owner)}")
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
    """Runs and data sets in, a run out."""
    if taken := session.recall("brought_in"):
        st.success(messages.plain(taken))
        session.remember("brought_in", None)
    if not access.actor().takes_part:
        st.caption("You look on. Who has entered the class code can bring in runs and data sets.")
        return
    run_column, data_column, download_column = st.columns(3, gap="medium")
    with run_column:
        upload_form("run", "**A run** that was downloaded from a lab", bring_in_run)
    with data_column:
        upload_form("data set", "**A data set** in folders, see below", bring_in_data)
    with download_column:
        download()
    st.caption(
        "A data set is a zip file with train/CLASS/ID.png and test/CLASS/ID.png, or with class folders alone: a fifth "
        "of each is then drawn for testing. MNIST's four files, tables of pixels (label,pixel0,…) and .npz files are "
        "read as well. Every file is checked before it is used: only images and numbers are taken, and nothing in it "
        "is run. Everyone who uses this lab can choose a data set or look at a run that you bring in."
    )


def download() -> None:
    """The chosen run as a zip file."""
    st.markdown("**Take a run with you**, to bring it in elsewhere")
    chosen = session.chosen_run([run for run in reading.all_runs() if run.result and not run.active])
    if chosen is None:
        st.caption("There is no finished run yet.")
        return
    st.caption(messages.plain(header.run_name(chosen, header.names(reading.all_runs())[chosen.id])))
    if not access.actor().may_change(chosen.owner):
        st.caption(f"Only {messages.plain(chosen.owner or 'the teacher')} can take it with its weights.")
        return
    st.download_button(
        "Download this run",
        lambda: actions.packed(chosen),
        file_name=f"{chosen.id}.zip",
        mime="application/zip",
        on_click="ignore",
        help="Settings, curves, weights and embeddings in one zip file. Tick another run above to change it.",
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
    with messages.errors_explained():
        runs_section()
    with st.expander("Bring in a run or a data set, or take a run with you"):
        exchange()
