"""Train: settings on the left, the run as it goes on the right."""

import streamlit as st

from app import cards, charts, forms, state
from app.components.plotly_chart import live_chart
from core import store
from core.config import ConfigError, title
from core.data import DataError
from core.store import Run, StoreError


def minutes(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min {seconds % 60:02.0f} s"


def progress(run: Run, steps) -> tuple[float, str]:
    """The share of the run that is done, and the same in words with the elapsed and the expected time."""
    if run.status == "queued":
        return 0.0, "Waiting for its turn."
    if steps.empty:
        return 0.0, "Loading PyTorch and building the network …" if run.active else "Ended before the first step."
    last = steps.iloc[-1]
    done = (last["epoch"] - 1 + last["step"] / run.steps_per_epoch) / run.config.epochs
    words = f"Epoch {last['epoch']:.0f}/{run.config.epochs}"
    if run.status != "running":
        return done, f"{words} · {minutes(run.seconds or last['seconds'])} in all"
    phase = "evaluating" if last["step"] == run.steps_per_epoch else f"step {last['step']:.0f}/{run.steps_per_epoch}"
    first, begun = steps.iloc[0], 1 / (run.steps_per_epoch * run.config.epochs)
    left = "…"  # the first steps are slow and say nothing of the rest
    if len(steps) > 4:
        left = f"about {minutes((last['seconds'] - first['seconds']) * (1 - done) / (done - begun))}"
    return done, f"{words} · {phase} · {minutes(last['seconds'])} elapsed · {left} to go"


@cards.errors_explained()
def watch(run_id: str) -> None:
    """One run: its state, numbers and curves. Redraws itself while the run goes on."""
    run = state.find_run(run_id)
    if run.config is None:
        st.warning(run.error)
        return
    history, steps = store.history(run), store.steps(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title(run.config), width="stretch")
        cards.status_badge(run)
        if run.active and state.mine(run):
            st.button("Stop", key="stop", on_click=state.stop, args=(run,), help="Keeps the model so far.")
    if reason := state.failure(run):
        st.error(f"This run failed: {reason}")
    share, words = progress(run, steps)
    st.progress(min(share, 1.0), text=words)
    last = history.iloc[-1] if len(history) else {}
    columns = st.columns(4)
    after = cards.after(run) if run.result else "after the last epoch"
    shown = [
        ("Test accuracy", "test_accuracy", "{:.2%}", f"Share of the test images named rightly {after}."),
        ("Train accuracy", "train_accuracy", "{:.2%}", "The same for the training images, without augmentation."),
        ("Train loss", "train_loss", "{:.4f}", "Mean over the steps of the last epoch."),
        ("Test loss", "test_loss", "{:.4f}", f"Measured {after}."),
    ]
    for column, (label, name, form, help) in zip(columns, shown, strict=True):
        column.metric(label, form.format(last[name]) if name in last else "–", help=help)
    left, right = st.columns(2)
    with left:
        live_chart(
            charts.loss_curves(history, steps, run.steps_per_epoch, run.config.epochs),
            key=f"loss_{run_id}",
            alt="loss over epochs",
        )
    with right:
        live_chart(
            charts.accuracy_curves(history, run.steps_per_epoch, run.config.epochs),
            key=f"accuracy_{run_id}",
            alt="accuracy over epochs",
        )
    if run.active != state.recall("was_active"):
        st.rerun()  # begun or ended: the page sets its clock anew
    if run.result and not run.active:
        with st.container(horizontal=True):
            st.page_link("views/mistakes.py", label=f"→ See the {run.result['mistakes']} mistakes")
            st.page_link("views/embedding.py", label="→ See the embedding")


settings_column, run_column = st.columns([1, 2.2], gap="large")

with settings_column:
    begin = st.container()
    config = forms.run_form()
    with begin:
        if st.button("Start", type="primary", width="stretch", disabled=config is None):
            try:
                state.choose_run(state.start(config))
            except (ConfigError, DataError, StoreError, RuntimeError) as error:
                st.error(str(error))

with run_column:
    runs = [run for run in state.all_runs() if run.config]
    run = cards.pick_run(runs, key="run_on_train")
    if run is None:
        st.info("Nothing has been trained yet. Choose a preset on the left and press **Start**.")
    else:
        state.preset_widget("was_active", run.active)
        st.fragment(watch, run_every=1.0 if run.active else None)(run.id)
