"""What can be done with the ticked runs: name, archive, delete, export; in one line."""

from functools import partial
from importlib.util import find_spec

import streamlit as st

from app import access, actions, reading, session
from app.downloads import button
from app.drawing import charts, standalone
from app.parts import header, messages
from core.exchange.downloads import DOWNLOADS, file_name
from core.runs import store, trash
from core.runs.checks import LONGEST_NAME
from core.runs.files import StoreError
from core.runs.store import Run

BEING_TRAINED = "Being trained: stop it first."
_WHOSE = "Only its owner or the teacher can take the weights."
_NEEDS = {"tensorboard": ("tensorboard",), "onnx": ("onnx", "onnxscript")}  # packages of requirements-export.txt


def buttons(ticked: list[Run]) -> None:
    """The line of buttons; without a ticked run they are there, and dead."""
    ids = tuple(run.id for run in ticked)
    training = [run for run in ticked if run.active]
    foreign = next((run for run in ticked if not access.actor().may_change(run.owner)), None)
    dead = not ticked or bool(training or foreign)
    owner = (foreign.owner or "the teacher") if foreign else ""
    why = f"Only {messages.plain(owner)} can do this." if foreign else BEING_TRAINED if training else None
    _name([] if foreign else ticked)
    back = bool(ticked) and all(run.archived for run in ticked)
    action = partial(actions.archive, ticked, not back)
    st.button(
        "Take back" if back else "Archive",
        help=why or ("Lists it again." if back else "Puts it away: listed only with “Show archived”. Nothing is lost."),
        on_click=session.whole(actions.act),
        args=("runs", ("archive", back, *ids), action),
        disabled=dead,
        key="archive",
    )
    st.button(
        "Delete …",
        on_click=session.whole(session.remember),
        args=("to_delete", ids),
        disabled=dead,
        help=why or "Moves it to the trash, below the runs; asks before.",
        key="delete",
    )
    with st.popover(
        "Export", disabled=len(ticked) != 1 or not ticked[0].config, help="Of one ticked run.", key="export"
    ):
        if len(ticked) == 1 and ticked[0].config:
            downloads(ticked[0])


def _name(ticked: list[Run]) -> None:
    with st.popover("Rename", disabled=len(ticked) != 1, help="One ticked run.", key="rename_box"):
        if len(ticked) != 1:
            return
        (run,) = ticked
        key = f"name_{run.id}"
        st.text_input("Name", run.called[:LONGEST_NAME], LONGEST_NAME, key=key)
        # Looked up when the button is pressed: the click arrives together with what was typed
        action = lambda: actions.rename(run, session.recall(key))  # noqa: E731
        st.button(
            "Rename", on_click=session.whole(actions.act), args=("runs", ("rename", run.id), action), key="rename"
        )


def downloads(run: Run) -> None:
    """A button for each kind of file that can be taken of a run, and one for its charts."""
    button(
        "Charts, a page that needs no network",
        partial(_charts, run),
        f"{run.id}-charts.html",
        "text/html",
        disabled=not run.result,
        help="As on Train: zoom, hide curves, point at them." if run.result else "After its first epoch.",
        key="download_charts",
        width="stretch",
    )
    for kind, each in DOWNLOADS.items():
        refused = each.weights and not access.actor().may_change(run.owner)
        missing = [package for package in _NEEDS.get(kind, ()) if not find_spec(package)]
        unfinished = kind != "settings" and (not run.result or (kind == "run" and run.active))
        help = f"Needs {missing[0]}: pip install -r requirements-export.txt" if missing else None
        button(
            each.title,
            partial(actions.download, run, kind),
            file_name(run, kind),
            disabled=bool(missing) or unfinished or refused,
            help="After its first epoch, once it has ended." if unfinished else help or _WHOSE * refused or None,
            key=f"download_{kind}",
            width="stretch",
        )


def _charts(run: Run) -> bytes:
    """The charts of a run as one HTML page."""
    history, steps = store.history(run), store.steps(run)
    done = float(len(history)) / run.config.epochs
    found = charts.figures(run, history, steps, done, smoothed=0)
    return standalone.page(
        header.names(reading.all_runs()).get(run.id, run.title), [each for each, _ in found.values()]
    )


@st.dialog("Move to the trash?", on_dismiss=session.whole(lambda: session.remember("to_delete", ())))
def confirm_deletion(runs: list[Run], names: dict[str, str]) -> None:
    """Names the runs and what will be lost."""
    for run in runs:
        facts = [f"{epochs_of(run)} epochs" if run.config else "damaged"]
        if accuracy := run.result and run.result.test_accuracy:
            facts.append(f"test accuracy {messages.percent(accuracy)}")
        st.markdown(f"**{messages.plain(names[run.id])}** · {' · '.join(facts)}")
        st.caption(messages.plain(str(run.folder)))
    st.markdown(f"They can be brought back for {trash.DAYS} days, or for less if the disk runs short.")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key="delete_now"):
            try:
                actions.delete(runs)
                session.remember("to_delete", ())
                st.rerun()
            except (StoreError, OSError) as error:
                st.error(messages.plain(str(error)))
        if st.button("Keep", key="keep"):
            session.remember("to_delete", ())
            st.rerun()


def epochs_of(run: Run) -> str | None:
    """The epochs that were evaluated, of those asked for; None if the run is damaged."""
    return f"{run.result.epochs if run.result else 0} of {run.config.epochs}" if run.config else None


def to_delete(runs: list[Run]) -> None:
    """Opens the question whether runs shall be deleted, once it was asked for."""
    if named := [run for run in runs if run.id in (session.recall("to_delete") or ())]:
        confirm_deletion(named, header.names(runs))
