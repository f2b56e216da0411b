"""Mistakes: what a run got wrong, image by image; and what follows from it, up to the lab report."""

import streamlit as st

from app import cached, reading, session
from app.parts import biographies, doubts, gallery, header, lab_report, messages, several, why
from app.parts.messages import plain
from core.dataset.loader import DataSet
from core.runs.store import Run
from core.settings.choices import CLASSIFIERS

VIEWS = {
    "gallery": ("Gallery", gallery.show),
    "biographies": ("Biographies", biographies.show),
    "runs": ("Several runs", several.show),
    "labels": ("Labels to doubt", doubts.show),
    "report": ("Lab report", lab_report.show),
}


def page() -> None:
    """The run picker and the mistakes."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_mistakes")
    if run is None:
        messages.no_runs_yet()
    else:
        show(run)


@messages.errors_explained()
def show(run: Run) -> None:
    """One of VIEWS; or one image, if the address names it."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    if name := session.in_address("image"):
        if name in images.test.ids:
            session.choose_image(name)
            rule, k = chosen_rule(run, images)
            listed = session.recall("mistakes_list") or cached.wrong_images(run, images)["id"].tolist()
            why.show(run, images, name, listed, rule, k)
            return
        st.warning(f"There is no test image {plain(name[:60])} in this run's data set.")
    left, right = st.columns([5, 3] if session.projected() else 2, vertical_alignment="center")
    with left:
        view = _view()
    if view == "gallery":
        with right:
            _pick_rule(run, images)
        gallery.show(run, images, *chosen_rule(run, images))
    else:
        VIEWS[view][1](run, images)


def _view() -> str:
    """The part of the page that the address names."""
    wanted = session.in_address("view")
    view = wanted if wanted in VIEWS else "gallery"
    session.show("mistakes_view", view)
    return st.segmented_control(
        "Show",
        list(VIEWS),
        default=view,
        format_func=lambda view: VIEWS[view][0],
        key="mistakes_view",
        required=True,
        label_visibility="collapsed",
        on_change=session.whole(lambda: session.into_address("view", session.recall("mistakes_view"))),
    )


def chosen_rule(run: Run, images: DataSet) -> tuple[str, int]:
    """The rule and its k that the whole page goes by; those of the run until others are chosen."""
    rule, k = session.recall("mistakes_rule"), session.recall("mistakes_k")
    rule = rule if rule in _rules(run) else run.config.predicts
    return rule, min(k or run.config.neighbours, highest_k(images))


def highest_k(images: DataSet) -> int:
    """How many training images may vote at most."""
    return min(50, len(images.train.ids))


def _rules(run: Run) -> list[str]:
    return [rule for rule in CLASSIFIERS if rule != "softmax" or run.config.predicts == "softmax"]


def _pick_rule(run: Run, images: DataSet) -> None:
    """The rule, and k where it asks neighbours, in one line."""
    rule, k = chosen_rule(run, images)
    session.show("mistakes_rule", rule)
    session.show("mistakes_k", k)
    left, right = st.columns([2, 1], vertical_alignment="center")
    rules = _rules(run)
    left.selectbox(
        "Rule", rules, rules.index(rule), format_func=CLASSIFIERS.get, label_visibility="collapsed",
        help="Softmax can be chosen where the run itself predicts by it: its logits are not stored.",
        key="mistakes_rule", persist_state="session",
    )  # fmt: skip
    if session.recall("mistakes_rule") in ("knn", "knn_weighted"):
        highest = highest_k(images)
        right.slider("k", 1, highest, k, key="mistakes_k", label_visibility="collapsed", format="k = %d",
                     persist_state="session")  # fmt: skip
