"""Train: settings on the left, the run as it goes on the right."""

from functools import partial

import pandas as pd
import streamlit as st

from app import actions, navigation, reading, session
from app.components.plotly_chart import live_chart
from app.drawing import charts
from app.parts import form, header, messages
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run
from core.settings.choices import OBJECTIVES
from core.settings.config import RunConfig, settings

WAITING = 5.0  # seconds between two looks at whether somebody else has begun or changed something
MOST_EPOCHS = next(field.metadata["high"] for field in settings() if field.name == "epochs")


def progress(run: Run, steps: pd.DataFrame) -> tuple[float, str]:
    """The share of the run that is done, and the same in words with the elapsed and the expected time."""
    begins = reading.status(run) == "starting"
    if run.status == "queued" and not begins:
        return 0.0, "Waiting for its turn."
    if begins or steps.empty:
        return 0.0, "Loading PyTorch and building the network …" if run.active else "Ended before the first step."
    last = steps.iloc[-1]
    done = (last["epoch"] - 1 + last["step"] / max(run.steps_per_epoch, 1)) / run.config.epochs
    words = f"Epoch {last['epoch']:.0f}/{run.config.epochs}"
    if run.status == "pausing":
        return done, f"{words} · saving at the next step …"
    if run.status == "stopping":
        return done, f"{words} · ending at the next step, then testing the model so far …"
    if run.status != "running":
        return done, f"{words} · {messages.duration(run.seconds or last['seconds'])} in all"
    phase = "evaluating" if last["step"] == run.steps_per_epoch else f"step {last['step']:.0f}/{run.steps_per_epoch}"
    first, begun = steps.iloc[0], 1 / (run.steps_per_epoch * run.config.epochs)
    left = "…"  # the first steps are slow and say nothing of the rest
    if len(steps) > 4:
        left = f"about {messages.duration((last['seconds'] - first['seconds']) * (1 - done) / (done - begun))}"
    return done, f"{words} · {phase} · {messages.duration(last['seconds'])} elapsed · {left} to go"


def going_on(run: Run) -> str | None:
    """Where a run that has ended would go on, as a sentence; None if it cannot, which is then said here."""
    if run.status == "done" or run.diverged:
        return None
    try:
        epoch, step = reading.goes_on_at(run)
    except StoreError as error:
        st.info(f"This run cannot go on. {messages.plain(str(error))}")
        return None
    if run.steps_per_epoch and step > run.steps_per_epoch:
        return f"Resume goes on with the test after epoch {epoch}."
    return f"Resume goes on at epoch {epoch}, step {step}."


def controls(run: Run, resumable: bool) -> None:
    """The buttons that make sense in the run's state."""

    def button(label: str, name: str, what: tuple, action, help: str, **options) -> None:
        arguments = (run.id, (name, run.id, *what), action)
        st.button(label, key=name, on_click=actions.act, args=arguments, help=help, **options)

    with st.container(horizontal=True, vertical_alignment="center"):
        if run.active:
            ending = run.status in ("pausing", "stopping")
            button(
                "Pause", "pause", (), partial(actions.pause, run), "Saves at the next step and ends.", disabled=ending
            )
            button(
                "Stop",
                "stop",
                (),
                partial(actions.stop, run),
                "Ends at the next step and tests the model so far, which is kept.",
                disabled=run.status == "stopping",
            )
        elif resumable:
            resume = partial(actions.resume, run)
            button("Resume", "resume", (), resume, "Goes on as if there had been no interruption.", type="primary")
        elif run.status == "done":
            more_epochs(run, button)
        if not run.active:
            again = partial(actions.begin, run.config)
            button("Run again", "again", (), again, "A new run with the same settings, on the images in use now.")
        use = partial(session.fill_form, run.config)
        button("Use these settings", "use", (), use, "Puts them into the form on the left, to change and start.")


def more_epochs(run: Run, button) -> None:
    """A number and a button that trains a finished run for longer."""
    room = MOST_EPOCHS - run.config.epochs
    if run.format < store.FORMAT or room < 1:
        return
    if run.result["epochs"] < run.config.epochs:
        st.caption("It ended early: its validation accuracy had not become better.")
        return
    with st.container(width=130):
        more = st.number_input("More epochs", 1, room, min(5, room), key="more_epochs", label_visibility="collapsed")
    button(
        f"Continue by {more} epoch{'s' * (more > 1)}",
        "continue",
        (run.config.epochs,),
        lambda: actions.resume(run, session.recall("more_epochs")),  # what was typed last, see home.py
        "Goes on with this run. A cosine or one-cycle schedule is stretched to the new number of epochs.",
    )


def told(run: Run, how: str | None) -> None:
    """What there is to say about the run's state."""
    messages.refused(run.id)
    if reason := reading.failure(run):
        st.error(f"This run failed: {messages.plain(reason)}")
        if how:
            st.info(how)
    elif how and run.status == "interrupted":
        st.info(f"The process that trained it ended; nothing saved is lost. {how}")
    elif how and run.status == "stopped":
        st.info(f"Stopped. What is shown is the model so far. {how}" if run.result else f"Stopped. {how}")
    elif how:
        st.info(f"Paused. {how}")
    if run.active and not reading.mine(run):
        st.caption("Trained by another process, a second dashboard or a command line, which hears Pause and Stop.")
    for note in run.notes:
        st.info(messages.plain(note))


def numbers(run: Run, history: pd.DataFrame) -> None:
    """The last epoch in figures."""
    last = history.iloc[-1] if len(history) else {}
    after = header.after(run) if run.result else "after the last epoch"
    shown = [
        ("Test accuracy", "test_accuracy", "{:.2%}", f"Share of the test images named rightly {after}."),
        ("Train accuracy", "train_accuracy", "{:.2%}", "The same for the images learnt from, without augmentation."),
        ("Train loss", "train_loss", "{:.4f}", "Mean over the steps of the last epoch."),
        ("Test loss", "test_loss", "{:.4f}", f"Measured {after}."),
    ]
    if run.config.validation_share:
        kept = "Share of the training images kept for validation that are named rightly."
        shown.insert(1, ("Validation accuracy", "validation_accuracy", "{:.2%}", kept))
    for column, (label, name, pattern, help) in zip(st.columns(len(shown)), shown, strict=True):
        known = name in last and pd.notna(last[name])
        column.metric(label, pattern.format(last[name]) if known else "–", help=help)


def curves(run: Run, history: pd.DataFrame, steps: pd.DataFrame) -> None:
    """The charts: two for every run, two more for those with triplets."""
    span = (run.steps_per_epoch, run.config.epochs)
    left, right = st.columns(2)
    with left:
        live_chart(charts.loss_curves(history, steps, *span), key=f"loss_{run.id}", alt="loss over epochs")
    with right:
        live_chart(charts.accuracy_curves(history, *span), key=f"accuracy_{run.id}", alt="accuracy over epochs")
    if not OBJECTIVES[run.config.objective].triplets:
        return
    left, right = st.columns(2)
    with left:
        shares = charts.triplet_curves(history, steps, *span)
        live_chart(shares, key=f"triplets_{run.id}", alt="shares of easy and hard triplets over epochs")
        st.caption(
            "Shares of the triplets that counted. Easy: right by the margin. Semi-hard: right, but not by the margin. "
            "Hard: wrong. Active: those that still change the network." + left_out(history)
        )
    with right:
        distances = charts.distance_curves(history, steps, *span)
        live_chart(distances, key=f"distances_{run.id}", alt="distances in the embedding space over epochs")
        st.caption(
            "From anchors to positives, d(a, p), and to negatives, d(a, n): mean, and in colour the middle 80 %; from "
            "0 to 20. The spread is the embeddings' distance from their centre, from 0 to 10."
        )


def left_out(history: pd.DataFrame) -> str:
    """A sentence on anchors without a triplet, where there are some."""
    count = history["anchors_left_out"].iloc[-1] if "anchors_left_out" in history else 0
    return f" In the last epoch {count:.1f} anchors of a batch had no triplet." if count >= 0.05 else ""


@messages.errors_explained()
def head(run: Run) -> None:
    """What one run is doing, what can be done with it, and what there is to say about it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(messages.plain(run.title), width="stretch", anchor=False)
        header.status_badge(run)
    bar = st.container()
    how = None if run.active else going_on(run)
    with bar:
        controls(run, how is not None)
    told(run, how)


def said(run: Run) -> tuple:
    """What `head` says of a run that goes on. When it changes, the page is drawn anew."""
    return run.title, reading.status(run), run.notes, reading.mine(run)


@messages.errors_explained()
def live(run_id: str, pace: float | None, before: tuple) -> None:
    """The alarm, numbers and curves of one run. Redraws itself, and only this part, while the run goes on."""
    run = reading.find_run(run_id)
    if (said(run), reading.pace(run)) != (before, pace):
        st.rerun()  # the whole page: another run, other words, or another clock
    with st.container():  # always there, so that the charts keep their place, and with it their zoom
        if alarm := run.result.get("alarm"):
            st.warning(f"After epoch {run.result['epochs']}: {messages.plain(alarm)}", icon="⚠️")
    history, steps = store.history(run), store.steps(run)
    share, words = progress(run, steps)
    st.progress(min(share, 1.0), text=words)
    numbers(run, history)
    curves(run, history, steps)
    if run.result and not run.active:
        with st.container(horizontal=True):
            navigation.link("mistakes", f"→ See the {run.result['mistakes']} mistakes")
            navigation.link("embedding", "→ See the embedding")


def look_out(seen: tuple, shown: list[Run]) -> None:
    """Draws nothing; draws the page anew when somebody else has changed the run, or begun the first one."""
    if reading.glance(shown, others=not shown) != seen:
        st.rerun()


def start(config: RunConfig | None, clash: str) -> None:
    """The button, and why it cannot be pressed or why the last press of it began nothing."""
    if st.button("Start", type="primary", width="stretch", disabled=config is None):
        # Not a callback: that would know the settings of the drawing before
        actions.act("form", ("start", config), partial(actions.begin, config))
    if clash:
        st.error(messages.worded(clash))
    else:
        messages.refused("form")


def page() -> None:
    """The form, and the run as it goes."""
    settings_column, run_column = st.columns([1, 2.2], gap="large")

    with settings_column:
        top = st.container()
        config, clash = form.run_form()
        with top:
            if name := reading.chosen_data():
                st.caption(f"New runs use the images brought in as {messages.plain(name)}.")
            start(config, clash)

    with run_column:
        runs = [run for run in reading.all_runs() if run.config]
        run = header.pick_run(runs, key="run_on_train")
        if run is None:
            st.info("Nothing has been trained yet. Choose a preset on the left and press **Start**.")
        else:
            before, pace = said(run), reading.pace(run)
            with (
                st.container()
            ):  # one, however much it says, so that the charts keep their place, and with it their zoom
                head(run)
            with st.container(key="live"):  # style.css: nothing moves between two drawings
                st.fragment(live, run_every=pace)(run.id, pace, before)
        if run is None or not run.active:
            shown = [run] if run else []
            st.fragment(look_out, run_every=WAITING)(reading.glance(shown, others=not shown), shown)
