"""One test image on the Mistakes page: its neighbours, its votes, its biography, and what is noted about it."""

import html

import numpy as np
import streamlit as st

from app import actions, cached, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts.messages import errors_explained, plain
from core.analysis import biography, disputes, explain
from core.dataset.loader import DataSet
from core.runs import explaining, notes
from core.runs.store import Run

_RULES = {"softmax": "softmax", "knn": "kNN", "centre": "centre", "mean": "mean"}


def show(run: Run, images: DataSet, name: str, listed: list[str]) -> None:
    """The image with this id; the arrow keys walk through `listed`."""
    row = images.test.ids.index(name)
    _walk(name, listed)
    known = cached.embedded(run)
    k, without = _k(run, images), _without(name)
    found = explaining.why_of(run, images, known, row, k, without)
    middle, side = st.columns([7, 5])
    with middle:
        _pictures(found, images, row)
        st.markdown(f"**{plain(explain.sentence(found, images.classes))}**")
        _biography(run, images, row)
    with side:
        _voters(run, images, found, row, k, without)
        _facts(found, images)
        _note(run, name)


def _walk(name: str, listed: list[str]) -> None:
    place = listed.index(name) if name in listed else None
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("← All images"):
            session.into_address("image", None)
            st.rerun()
        before = st.button("◂", help="Left arrow", disabled=not place)
        after = st.button("▸", help="Right arrow", disabled=place is None or place + 1 >= len(listed))
        where = f"{place + 1} of {len(listed)} · " if place is not None else ""
        st.caption(f"{where}{plain(name)}", width="content")
        step = clickable.arrow_keys("walk") or after - before
    if step and place is not None and 0 <= place + step < len(listed):
        session.into_address("image", listed[place + step])
        st.rerun()


def _k(run: Run, images: DataSet) -> int:
    highest = min(25, len(images.train.ids) - 1)
    session.remember("why_k", min(session.recall("why_k") or run.config.neighbours, highest))
    return session.recall("why_k")


def _without(name: str) -> list[int]:
    image, rows = session.recall("why_without") or ("", [])
    return rows if image == name else []


def _pictures(found: explain.Why, images: DataSet, row: int) -> None:
    pixels = images.test.images[row]
    dispute = disputes.find(images).get(row)
    labelled = f"labelled {images.classes[found.true]}, called {images.classes[found.predicted]}"
    note = f"⚠ disputed: {dispute.said}" if dispute else ""
    parts = [_picture(pixels, labelled, note or images.test.ids[row], 280)]
    for at, (label, near) in enumerate(((found.true, found.nearest_true), (found.predicted, found.nearest_predicted))):
        if near:
            other = images.train.images[near[0]]
            title = f"nearest {images.classes[label]} · {near[1]:.2f}"
            difference = np.abs(pixels.astype(int) - other).astype(np.uint8)
            both = _picture(other, title, images.train.ids[near[0]], 190) + _picture(difference, "difference", "", 90)
            parts.insert(at * 2, f"<div>{both}</div>")
    st.html(f'<div class="lab-why">{"".join(parts)}</div>{_bar(found)}')


def _picture(pixels: np.ndarray, heading: str, line: str, size: int) -> str:
    alt = html.escape(heading)
    return (
        f'<figure><img src="{png_uri(pixels)}" alt="{alt}" style="width:{size}px"><figcaption><b>{alt}</b><br>'
        f"{html.escape(line)}</figcaption></figure>"
    )


def _bar(found: explain.Why) -> str:
    """d(true) and d(predicted) on one scale from 0, and their difference."""
    if found.margin is None:
        return ""
    true, predicted = found.nearest_true[1], found.nearest_predicted[1]
    most = max(true, predicted, 1e-9)
    rows = (("d(true)", true), ("d(predicted)", predicted))
    bars = "".join(
        f'<span>{name}</span><i style="width:{100 * far / most:.1f}%"></i><b>{far:.2f}</b>' for name, far in rows
    )
    margin = f"d(predicted) − d(true) = {found.margin:+.2f}".replace("-", "−")
    return f'<div class="lab-bars">{bars}</div><div class="lab-margin">{margin}</div>'


def _voters(run: Run, images: DataSet, found: explain.Why, row: int, k: int, without: list[int]) -> None:
    name = images.test.ids[row]
    st.slider("k", 1, min(25, len(images.train.ids) - 1), key="why_k", help="How many training images vote")
    most = min(k + len(without), len(images.train.ids))
    everyone = explaining.why_of(run, images, cached.embedded(run), row, most).voters
    shown = [
        clickable.tile(
            png_uri(images.train.images[each]), images.classes[label], f"{far:.2f}",
            f"{images.train.ids[each]}: click to let it vote or not", off=each in without,
        )
        for each, label, far in everyone
    ]  # fmt: skip
    picked = clickable.tiles(shown, "voters", 62)
    if picked is not None:
        each = everyone[picked][0]
        changed = [other for other in without if other != each] if each in without else [*without, each]
        session.remember("why_without", (name, changed))
        st.rerun()
    votes = [label for _, label, _ in found.voters]
    said = found.rules["knn"]
    told = f"kNN says **{plain(images.classes[said])}** ({votes.count(said)} of {len(votes)} votes)"
    first = found.first_true_rank
    st.markdown(told + (f" · first {plain(images.classes[found.true])} at rank {first}" if first else ""))


def _facts(found: explain.Why, images: DataSet) -> None:
    said = [
        f"{_RULES[rule]} {'–' if label is None else plain(images.classes[label])}"
        for rule, label in found.rules.items()
    ]
    st.markdown(
        " · ".join(said), help="– : the logits of softmax are not stored; it is known where the run predicts by it."
    )
    if found.removals is None:
        st.markdown("No removal of training images turns the vote right.")
    elif found.removals:
        names = [plain(images.train.ids[each]) for each in found.removals]
        ids = ", ".join(names[:6]) + f" and {len(names) - 6} more" * (len(names) > 6)
        st.markdown(f"To turn the vote right remove at least {len(found.removals)}: {ids}")
    order = sorted(found.centre_distances.items(), key=lambda each: each[1])
    st.caption("Class centres: " + " · ".join(f"{plain(images.classes[label])} {far:.2f}" for label, far in order[:10]))


def _biography(run: Run, images: DataSet, row: int) -> None:
    told = cached.biographies(run, images)
    cells = "".join(
        f'<span class="{"" if label == told.true[row] else "wrong"}" title="epoch {epoch}, {score:.0%}">'
        f"{html.escape(images.classes[label])}</span>"
        for epoch, label, score in zip(told.epochs, told.predicted[:, row], told.scores[:, row], strict=True)
    )
    kind = told.kinds[row]
    st.html(f'<div class="lab-life"><b>after each epoch</b> {cells} <em>{kind}</em>: {biography.KINDS[kind]}</div>')


def _note(run: Run, name: str) -> None:
    old = notes.read(run).images.get(name, notes.Note())
    options = list(dict.fromkeys([*notes.TAGS, *notes.read(run).tag_counts(), *old.tags]))
    tags = st.multiselect(
        "Tags", options, list(old.tags), key=f"tags_{run.id}_{name}", accept_new_options=True, placeholder="Tags"
    )
    text = st.text_area("Note", old.text, key=f"note_{run.id}_{name}", height=70, max_chars=notes.LONGEST_NOTE)
    new = notes.Note(text.strip(), tuple(tags), old.owner)
    if new != old:
        with errors_explained():
            actions.note(run, name, new)
