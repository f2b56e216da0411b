"""Try it: a digit that somebody draws or photographs, and what one or two runs make of it, after every stroke."""

from contextlib import suppress

import numpy as np
import streamlit as st

from app import cached, crowd, reading, session
from app.components.canvas import canvas
from app.components.small_map import small_map
from app.drawing import answers
from app.parts import header, messages
from core.analysis import explain
from core.dataset import digit
from core.dataset import images as files
from core.dataset.loader import DataSet
from core.runs.store import Run

SOURCES = ("Draw", "File", "Camera")
MOST = 15  # neighbours


def controls(run: Run, runs: list[Run]) -> tuple[str, Run | None]:
    """Where the picture comes from, and the second run; k, which is kept in the session, between them."""
    with st.container(horizontal=True, vertical_alignment="center"):
        bare = {"label_visibility": "collapsed"}
        source = st.segmented_control("Picture", SOURCES, default="Draw", required=True, key="try_source", **bare)
        with st.container(width=230):
            if session.recall("try_k") is None:
                session.remember("try_k", min(run.config.neighbours, MOST))
            st.slider(
                "Neighbours k", 1, MOST, key="try_k", format="k = %d", help="How many training images vote", **bare
            )
        with st.container(width=330):
            other = second_run(run, runs)
    return source, other


def second_run(run: Run, runs: list[Run]) -> Run | None:
    """The run beside the first one, from the address; None for no other."""
    by_id = {each.id: each for each in runs if each.id != run.id}
    names = header.names(runs)
    wanted = session.in_address("other")
    key = f"other_{run.id}"
    options = ["", *by_id]
    chosen = st.selectbox(
        "Second run",
        options,
        index=options.index(wanted) if wanted in by_id else 0,
        format_func=lambda each: header.run_name(by_id[each], names.get(each, "")) if each else "No second run",
        key=key,
        label_visibility="collapsed",
    )
    session.into_address("other", chosen or None)
    return by_id.get(chosen)


def given(source: str) -> tuple[np.ndarray | None, bool | None]:
    """The picture (H, W) uint8, and whether its border shows ink: None for a drawing, which is nothing but ink."""
    if source == "Draw":
        return canvas("canvas"), None
    if source == "File":
        file = st.file_uploader("A picture of a digit", [each.removeprefix(".") for each in files.SUFFIXES])
    else:
        file = st.camera_input("A photograph of a digit", help="Works where the page is opened on this computer.")
    if file is None:
        return None, None
    with st.container(horizontal=True):
        if st.button("Turn", help="By a quarter"):
            session.remember("try_turns", ((session.recall("try_turns") or 0) + 1) % 4)
        inverted = st.toggle("Invert", key="try_inverted", help="Where the border shows ink, not paper")
    picture = files.decoded(file.getvalue(), file.name, shrink=True)
    return np.rot90(picture, -(session.recall("try_turns") or 0)), inverted


def as_seen(picture: np.ndarray, inverted: bool | None, images: DataSet) -> np.ndarray:
    """The picture as a network of this data set is to see it, (H, W) uint8."""
    if inverted is None:
        return digit.prepared(picture, images.train.images)
    return digit.seen(picture, images.train.images, inverted=inverted)[0]


def answered(run: Run, picture: np.ndarray, inverted: bool | None, wide: bool) -> None:
    """What a run makes of the picture: class, scores, neighbours, its place on the map, and why."""
    images = reading.images_of(run)
    classifier = cached.classifier(run, images)
    k = min(session.recall("try_k"), classifier.most_neighbours)
    (answer,) = classifier.classify(as_seen(picture, inverted, images)[None], k)
    classes = images.classes
    votes = " · ".join(f"{count} × {classes[label]}" for label, count in answer.votes.items())
    near = [(images.train.images[row], classes[label], distance) for row, label, distance in answer.voters]
    text = answers.verdict(classes[answer.label], answer.score) + answers.bars(answer.scores, classes)
    voters = answers.neighbours(f"Votes of its {k} nearest training images: ", votes, near, 56 if k <= 7 else 44)
    if wide:
        left, right = st.columns(2, gap="medium")
        with left:
            st.html(text)
            st.html(voters)
        with right:
            placed(run, images, answer, 330)
            why(images, classifier, answer)
    else:
        left, right = st.columns(2, gap="small")
        with left:
            st.html(text)
        with right:
            placed(run, images, answer, 250)
        st.html(voters)
        why(images, classifier, answer)


def placed(run: Run, images: DataSet, answer, height: int) -> None:
    """The map of the training images, with the picture as a star."""
    changed = 0
    with suppress(OSError):
        changed = (run.folder / "projection.npz").stat().st_mtime_ns
    method, frame, background = cached.small_map(run, images, changed)
    star, linked = (None, None) if answer is None else (answer.place(frame), frame[[row for row, *_ in answer.voters]])
    small_map(background, f"small_map_{run.id}", height, star, linked, f"{method} of the training images")
    told = "the star stands at the mean of its neighbours' places, weighted by 1 / distance"
    st.caption(f"{method} of the training images; {told if answer else 'what you draw will be a star among them'}.")


def why(images: DataSet, classifier, answer) -> None:
    """Why it was called so, once somebody says what it is."""
    true = session.recall("try_true")
    if true is None or true not in images.classes:
        return
    found = classifier.why(answer, images.classes.index(true))
    said = messages.plain(explain.sentence(found, images.classes))
    if found.removals:
        said += f" Without {len(found.removals)} of its neighbours the vote would be right."
    st.markdown(f"**Why?** {said}")


def question(images: DataSet) -> None:
    """Asks what was drawn, for the explanation."""
    words = "Why? Say what it is"
    st.selectbox(words, images.classes, None, key="try_true", placeholder=words, label_visibility="collapsed")


@messages.errors_explained()
def desk(run: Run, runs: list[Run]) -> None:
    """The picture at the left, what the runs make of it at the right."""
    images = reading.images_of(run)
    source, other = controls(run, runs)
    left, right = st.columns([1, 2.7], gap="medium")
    with left:
        picture, inverted = given(source)
        if picture is not None:
            pixels = as_seen(picture, inverted, images)
            height, width = pixels.shape
            st.html(
                answers.seen(pixels, f"As the network sees it: {width}x{height}", max(1, 112 // max(width, height)))
            )
            if digit.is_blank(pixels):
                st.warning("No ink is found here, so what it is called means nothing. **Invert** may help.")
            question(images)
    with right:
        if picture is None:
            st.caption("Draw a digit at the left: after every stroke the runs say what they take it for.")
            placed(run, images, None, 460)
        elif other is None:
            answered(run, picture, inverted, wide=True)
        else:
            for column, each in zip(st.columns(2, gap="medium"), (run, other), strict=True):
                with column:
                    st.html(answers.title(header.names(runs).get(each.id, each.title), each))
                    answered(each, picture, inverted, wide=False)


def page() -> None:
    """The run picker, and the desk, which alone is drawn again after a stroke."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_try")
    if run is None:
        messages.no_runs_yet()
        return
    crowd.fragment(desk)(run, runs)
