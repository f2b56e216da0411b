"""Train: the run as it goes, and the settings of the next one."""

import html
from functools import partial

import pandas as pd
import streamlit as st

from app import access, actions, crowd, exercise, navigation, reading, session
from app.components.board import Part
from app.parts import curves, form, header, members, messages, outlook, run_bar
from app.parts.messages import duration, percent
from core.runs import store
from core.runs.files import StoreError
from core.runs.record import ended_early
from core.runs.store import Run
from core.settings import in_words
from core.settings.config import settings

_RECENT = 20  # rows of steps
WAITING = 5.0  # seconds between two looks at whether somebody else has begun or changed something
MOST_EPOCHS = next(field.high for field in settings() if field.name == "epochs")


def progress(run: Run, steps: pd.DataFrame, age: float = 0.0) -> tuple[float, str]:
    """The share of the run that is done, and the same in words with the elapsed and the expected time.

    `age` is the time in seconds since the last row of `steps` was written.
    """
    status = reading.status(run)
    if run.status == "queued" and status != "starting":
        return 0.0, "Waiting for its turn."
    if steps.empty:
        begun = "The first steps …" if run.steps_per_epoch else "Loading PyTorch and building the network …"
        begun = "Ending before the first step …" if run.status in ("pausing", "stopping") else begun
        return 0.0, begun if run.active else "Ended before the first step."
    last = steps.iloc[-1]
    done = (last["epoch"] - 1 + last["step"] / max(run.steps_per_epoch, 1)) / run.config.epochs
    words = f"Epoch {last['epoch']:.0f}/{run.config.epochs}{_speed(run, steps)}"
    if run.status == "pausing":
        return done, f"{words} · saving at the next step …"
    tested = store.testing(run)
    phase = f"testing {tested[0]:,} of {tested[1]:,} images" if tested else ""
    if run.status == "stopping":
        return done, f"{words} · {phase or 'ending at the next step, then testing the model so far'} …"
    if run.status != "running":
        return done, f"{words} · {duration(run.seconds or last['seconds'])} in all"
    if not phase:
        whole = last["step"] == run.steps_per_epoch
        phase = "evaluating" if whole else f"step {last['step']:.0f}/{run.steps_per_epoch}"
    return done, f"{words} · {phase} · {duration(last['seconds'] + age)} elapsed{_left(run, steps, done, age)}"


def _speed(run: Run, steps: pd.DataFrame) -> str:
    """Images that pass through the network a second, over the last rows of an epoch of a run in training."""
    recent = steps[steps["epoch"] == steps["epoch"].iloc[-1]].iloc[-_RECENT:]
    passed = recent["seconds"].iloc[-1] - recent["seconds"].iloc[0]
    if run.status != "running" or passed <= 0 or run.data is None:
        return ""
    made = (recent["step"].iloc[-1] - recent["step"].iloc[0]) * run.config.images_a_batch(len(run.data.classes))
    return f" · {made / passed:,.0f} images/s"


def _left(run: Run, steps: pd.DataFrame, done: float, age: float) -> str:
    """The expected time to the end; nothing at the first steps, which are slow and say nothing of the rest."""
    first, last = steps.iloc[0], steps.iloc[-1]
    begun = (first["epoch"] - 1 + first["step"] / max(run.steps_per_epoch, 1)) / run.config.epochs
    if done <= begun:
        return ""
    left = (last["seconds"] - first["seconds"]) * (1 - done) / (done - begun) - age
    return f" · about {duration(left)} to go" if left >= 1 else " · almost done" if done >= 1 else ""


def figures(run: Run, history: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The results in figures: what, how much, and of which epoch."""
    if history.empty:
        return [(name, "–", "after epoch 1") for name in ("Test accuracy", "Train accuracy", "Train loss", "Test loss")]
    last = history.iloc[-1]
    partly = f"{last['steps']:.0f} of {run.steps_per_epoch} steps of " * bool(last["steps"] < run.steps_per_epoch)
    epoch = f"{partly}epoch {last['epoch']:.0f}"
    test_best = f" · best on test {_best(history, 'test_accuracy', percent)}"
    shown = [("Test accuracy", percent(last["test_accuracy"]), f"{epoch}{test_best}")]
    if pd.notna(kept := last.get("validation_accuracy")):
        best = _best(history, "validation_accuracy", percent)
        shown.append(("Validation accuracy", percent(kept), f"{epoch} · best {best}"))
    best = _best(history, "train_accuracy", percent)
    shown.append(("Train accuracy", percent(last["train_accuracy"]), f"{epoch} · best {best}"))
    best = _best(history, "train_loss", "{:.3f}".format)
    shown.append(("Train loss", f"{last['train_loss']:.3f}", f"mean of {epoch} · best {best}"))
    if pd.notna(loss := last.get("test_loss")):
        best = _best(history, "test_loss", "{:.3f}".format)
        shown.append(("Test loss", f"{loss:.3f}", f"{epoch} · best {best}"))
    return shown


def _best(history: pd.DataFrame, column: str, written) -> str:
    """The best value of a column, the first of equals, with its epoch."""
    values = history[column]
    place = values.idxmin() if column.endswith("loss") else values.idxmax()
    return f"{written(values[place])} at {history['epoch'][place]:.0f}"


def summary(run: Run, history: pd.DataFrame, share: float, told: str) -> list[Part]:
    """How far the run is, as a bar and as it is `told`, and the results in figures, side by side."""
    over = f"{100 * min(share, 1):.1f}"
    bar = f'<div role="progressbar" aria-label="Training" aria-valuenow="{over}"><i style="width:{over}%"></i></div>'
    numbers = "".join(
        f"<div><span>{html.escape(name)}</span><b>{html.escape(value)}</b><small>{html.escape(of)}</small></div>"
        for name, value, of in figures(run, history)
    )
    return [
        Part("progress", 6, f'<div class="lab-progress">{html.escape(told)}{bar}</div>'),
        Part("numbers", 6, f'<div class="lab-numbers">{numbers}</div>'),
    ]


def going_on(run: Run) -> str | None:
    """Where a run that has ended would go on, as a sentence; None if it cannot, which is then said here."""
    if run.active or run.status == "done" or run.diverged:
        return None
    try:
        epoch, step = reading.goes_on_at(run)
    except StoreError as error:
        st.info(f"This run cannot go on. {messages.plain(str(error))}")
        return None
    if run.steps_per_epoch and step > run.steps_per_epoch:
        return f"Resume goes on with the test after epoch {epoch}."
    return f"Resume goes on at epoch {epoch}, step {step}."


def resumable(run: Run) -> bool:
    """Whether Resume can go on with a run that has ended."""
    if run.active or run.status == "done" or run.diverged:
        return False
    try:
        return bool(reading.goes_on_at(run))
    except StoreError:
        return False


def controls(run: Run) -> None:
    """The buttons that make sense in the run's state."""

    def button(label: str, name: str, what: tuple, action, help: str, letter: str = "", **options) -> None:
        does = {"on_click": session.whole(actions.act), "args": (run.id, (name, run.id, *what), action)}
        st.button(label, key=name, help=help, **does, **options)
        if letter:  # hidden, see style.css
            st.button(f"{label} by key", key=f"key_{name}", shortcut=letter, **does, **options)

    actor = access.actor()
    if not actor.may_change(run.owner):
        st.caption(f"{messages.plain(run.owner or 'the teacher')}'s run")
    elif run.active:
        ending = run.status in ("pausing", "stopping")
        pause, stop = partial(actions.pause, run), partial(actions.stop, run)
        button("Pause", "pause", (), pause, "Saves at the next step and ends.", disabled=ending, letter="P")
        kept = "Ends at the next step and tests the model so far, which is kept."
        button("Stop", "stop", (), stop, kept, disabled=run.status == "stopping")
    elif resumable(run):
        step = partial(actions.one_step, run)
        what = (run.status, reading.goes_on_at(run))
        button("One step", "one_step", what, step, "Trains a single batch; the microscope shows what it changed.")
        resume = partial(actions.resume, run)
        same = "Goes on as if there had been no interruption."
        button("Resume", "resume", (), resume, same, type="primary", letter="P")
    elif run.status == "done":
        more_epochs(run, button)
    if not run.active and actor.takes_part:
        again = partial(actions.begin, run.config)
        button("Run again", "again", (), again, "A new run with the same settings, on the images in use now.")


def more_epochs(run: Run, button) -> None:
    """A number and a button that trains a finished run for longer."""
    room = MOST_EPOCHS - run.config.epochs
    if room < 1 or ended_early(run):  # see `told`
        return
    with st.container(width=70):
        text = session.recall("more_epochs") or str(min(5, room))
        session.show("more_epochs", text)
        typed = st.text_input("More epochs", text, key="more_epochs", label_visibility="collapsed", max_chars=4)
    more = exercise.whole_number(typed, 1, room)
    button(
        f"Continue by {more} epoch{'s' * (more > 1)}" if more else f"More epochs: 1 to {room}",
        "continue",
        (run.config.epochs,),
        partial(continue_by_typed, run, room),
        "Goes on with this run. A cosine or one-cycle schedule is stretched to the new number of epochs.",
        disabled=more is None,
    )


def continue_by_typed(run: Run, room: int) -> None:
    """Continues by what the field holds now: it may have been typed after the page was drawn."""
    if more := exercise.whole_number(session.recall("more_epochs") or "", 1, room):
        actions.resume(run, more)


def told(run: Run, how: str | None) -> None:
    """What there is to say about the run's state."""
    messages.refused(run.id)
    if reason := reading.failure(run):
        st.error(f"This run failed: {messages.plain(reason)}")
        if how:
            st.info(how)
    elif how and run.status == "interrupted" and (reason := reading.given_up(run)):
        st.warning(f"This run is not resumed by itself: {messages.plain(reason)}. {how}")
    elif how and run.status == "interrupted":
        st.info(f"The process that trained it ended; nothing saved is lost. {how}")
    elif how and run.status == "stopped":
        st.info(f"Stopped. What is shown is the model so far. {how}" if run.result else f"Stopped. {how}")
    elif how:
        st.info(f"Paused. {how}")
    elif ended_early(run):
        st.info(f"Ended early, after epoch {run.result.epochs}: its validation accuracy had not become better.")
    if run.active and not reading.mine(run):
        st.caption("Trained by another process, a second dashboard or a command line, which hears Pause and Stop.")
    for note in run.notes:
        st.info(messages.plain(note))


def said(run: Run) -> tuple:
    """What is said of a run outside `live`. When it changes, the page is drawn anew."""
    warned = (run.result.epochs, run.result.alarm) if run.result and run.result.alarm else None
    return run.title, reading.status(run), run.notes, reading.mine(run), bool(run.result), warned


@messages.errors_explained()
def live(run_id: str, pace: float | None, before: tuple) -> None:
    """The numbers and curves of one run. Redraws itself, and only this part, while the run goes on."""
    run = reading.find_run(run_id)
    history, steps = store.history(run), store.steps(run)
    if (said(run), reading.pace(run, steps)) != (before, pace):
        st.rerun()  # the whole page: another run, other words, or another clock
    share, told = progress(run, steps, reading.age_of_steps(run))
    curves.draw(run, history, steps, share, summary(run, history, share, told))


def own_settings(run: Run, name: str) -> None:
    """The settings that the run was begun with, those that differ from its preset first."""
    st.caption(f"**{messages.plain(name)}**: {messages.plain(in_words.in_short(run.config))}.")
    with st.expander("All settings of this run"):
        rows = [
            f"<dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd>"
            for label, value in in_words.in_effect(run.config)
        ]
        st.html(f'<dl class="lab-settings">{"".join(rows)}</dl>')
        use = partial(form.take, run.config)
        st.button(
            "Use these settings",
            key="use",
            on_click=session.whole(use),
            help="Puts them into the form of the next run.",
        )


def look_out(seen: tuple, shown: list[Run], waits: bool) -> None:
    """Draws nothing; draws the page anew when somebody else has changed the run, or begun the first one, and, if the
    form `waits` for it, when no run trains any more.
    """
    if reading.glance(shown, others=not shown) != seen or (waits and not reading.busy()):
        st.rerun()


def next_run() -> bool:
    """The form: Start at its top, why it cannot be pressed, and the settings. Whether it waits until no run trains."""
    config, wrong, clash = session.form().config()
    with st.container(horizontal=True, vertical_alignment="center", key="start_line"):
        st.subheader("Next run", width="stretch", anchor=False)
        takes_part = access.actor().takes_part
        dead = config is None or not takes_part
        pressed = st.button("Start", type="primary", key="start", disabled=dead)
        pressed |= st.button("Start by key", key="key_start", disabled=dead, shortcut="S")
    if not takes_part:
        members.line()
    members.allowance()
    members.at_work()
    if pressed and config:  # not a callback: that would know the settings of the drawing before
        actions.act("form", ("start", config), partial(actions.begin, config))
    with st.container():  # always there, so that the fields below keep their place, and with it what is being typed
        if name := reading.chosen_data():
            st.caption(f"New runs use the images brought in as {messages.plain(name)}.")
        if wrong:
            st.error("  \n".join(messages.plain(f"{in_words.label(each)}: {reason}") for each, reason in wrong.items()))
        elif clash:
            st.error(messages.worded(clash))
        messages.refused("form")
    with st.container(key="outlook"):
        waits = outlook.show(config)
    st.toggle("Show the settings", key="unfold")  # style.css: on a small screen only
    with st.container(key="fields"):
        form.preset_picker()
        form.changed(config)
        form.fields(wrong)
    return waits


def this_run(waits: bool) -> None:
    """The run that is looked at: header, numbers, curves, its own settings. `waits`: see look_out."""
    runs = [run for run in reading.all_runs() if run.config]
    run = header.pick_run(runs, "run_on_train", controls)
    if run is None:
        st.info("Nothing has been trained yet. Choose a preset and press **Start**.")
    else:
        with st.container(), messages.errors_explained():
            told(run, going_on(run))
        before, pace = said(run), reading.pace(run)
        with st.container(key="live"):
            curves.smoothing()
            crowd.fragment(live, run_every=pace)(run.id, pace, before)
        if run.result and not run.active:
            with st.container(horizontal=True):
                navigation.link("mistakes", f"→ See the {run.result.mistakes} mistakes")
                navigation.link("embedding", "→ See the embedding")
                with st.popover("Export", key="export"):
                    run_bar.downloads(run)
        own_settings(run, header.names(runs)[run.id])
    if run is None or not run.active:
        shown = [run] if run else []
        crowd.fragment(look_out, run_every=WAITING)(reading.glance(shown, others=not shown), shown, waits)


def page() -> None:
    """The run first, for a keyboard and a small screen; beside it, at the left of a large one, the form."""
    with st.container(key="split"):
        run_column, form_column = st.columns([2.4, 1], gap="medium")
    # The form is drawn first, so that a run that is started there is the one shown
    with form_column, st.container(key="form"):
        waits = next_run()
    with run_column:
        this_run(waits)
