"""One test image on the Mistakes page: its neighbours, its votes, its biography, and what is noted about it."""

import html

import numpy as np
import streamlit as st

from app import actions, cached, crowd, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import cards, messages
from app.parts.messages import errors_explained, plain
from core.analysis import biography, disputes, explain
from core.dataset.loader import DataSet
from core.runs import explaining, notes
from core.runs.store import Run
from core.settings.choices import CLASSIFIERS

_MOST_OUT = 12  # pictures of those left out
_RULES = {"softmax": "softmax", "knn": "kNN", "centre": "centre", "mean": "mean"}


def open_image(name: str, among: list[str] | None = None) -> None:
    """Opens the test image with this id, after a click; the arrow keys then walk through `among`."""
    if among is not None:
        session.remember("mistakes_list", among)
    session.into_address("image", name)
    st.rerun()  # the whole page, whichever part of it was clicked


def show(run: Run, images: DataSet, name: str, listed: list[str], rule: str, k: int) -> None:
    """The image with this id, as the rule with k neighbours called it; the arrow keys walk through `listed`."""
    _walk(name, listed)
    crowd.fragment(messages.errors_explained()(_show))(run, images, name, rule, k)


def _show(run: Run, images: DataSet, name: str, rule: str, own_k: int) -> None:
    row = images.test.ids.index(name)
    said = explaining.Said(rule, own_k, int(cached.predicted(run, images, rule, own_k)[0][row]))
    k, without = _k(images, name, own_k), _without(name)
    found = explaining.why_of(run, images, cached.embedded(run), row, k, without, said)
    middle, side = st.columns([7, 5])
    with middle:
        _pictures(found, images, row)
        st.markdown(f"**{plain(explain.sentence(found, images.classes))}**")
        _biography(run, images, row)
    with side, st.container(gap="xsmall"):
        _voters(run, images, found, row, k, without)
        _facts(found, images, name, without, rule)
        _centres(found, images)
        _note(run, name)


def _walk(name: str, listed: list[str]) -> None:
    place = listed.index(name) if name in listed else None
    session.remember("walked_to", place)

    def walk(step: int) -> None:
        if (now := session.recall("walked_to")) is not None:  # further than what is drawn, if keys follow fast
            there = min(max(now + step, 0), len(listed) - 1)
            session.into_address("image", listed[there])
            session.remember("walked_to", there)  # last: a callback that is broken off begins anew, see session.whole

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("← All images", on_click=session.whole(session.into_address), args=("image", None))
        st.button("Previous", help="Left arrow", disabled=not place, on_click=session.whole(walk), args=(-1,))
        at_end = place is None or place + 1 >= len(listed)
        st.button("Next", help="Right arrow", disabled=at_end, on_click=session.whole(walk), args=(1,))
        where = f"{place + 1} of {len(listed)} · " if place is not None else ""
        st.caption(f"{where}{plain(name)}", width="content")
        clickable.arrow_keys("walk", on_press=walk)


def _k(images: DataSet, name: str, own_k: int) -> int:
    """How many vote: as on the gallery, until it is changed for this image."""
    highest = min(50, len(images.train.ids) - 1)
    if session.recall("why_image") != name:
        session.remember("why_image", name)
        session.remember("why_k", own_k)
    session.remember("why_k", min(session.recall("why_k") or own_k, highest))
    return session.recall("why_k")


def _without(name: str) -> list[int]:
    image, rows = session.recall("why_without") or ("", [])
    return rows if image == name else []


def _pictures(found: explain.Why, images: DataSet, row: int) -> None:
    pixels = images.test.images[row]
    dispute = disputes.find(images).get(row)
    labelled = f"labelled {images.classes[found.true]}, called {images.classes[found.predicted]}"
    note = f"⚠ disputed: {dispute.said}" if dispute else ""
    parts = [_picture(pixels, labelled, note or images.test.ids[row], "large")]
    right = found.true == found.predicted
    rival = found.nearest_other if right else found.nearest_predicted
    for at, near in enumerate((found.nearest_true, rival)):
        if near:
            other = images.train.images[near[0]]
            title = f"nearest {images.classes[images.train.labels[near[0]]]} · {near[1]:.2f}"
            difference = np.abs(pixels.astype(int) - other).astype(np.uint8)
            both = _picture(other, title, images.train.ids[near[0]]) + _picture(difference, "difference", "", "small")
            parts.insert(at * 2, f"<div>{both}</div>")
    st.html(f'<div class="lab-why">{"".join(parts)}</div>{_bar(found.nearest_true, rival, right)}')


def _picture(pixels: np.ndarray, heading: str, line: str, size: str = "") -> str:
    alt = html.escape(heading)
    return (
        f'<figure class="{size}"><img src="{png_uri(pixels)}" alt="{alt}"><figcaption><b>{alt}</b><br>'
        f"{html.escape(line)}</figcaption></figure>"
    )


def _bar(nearest_true: tuple[int, float] | None, rival: tuple[int, float] | None, right: bool) -> str:
    """d(true) and d(predicted), or if that is right d(other), on one scale from 0; their difference around the middle.

    Empty where one of both is not there.
    """
    if nearest_true is None or rival is None:
        return ""
    true, far = nearest_true[1], rival[1]
    margin, most, name = far - true, max(true, far, 1e-9), "d(other)" if right else "d(predicted)"
    rows = (("d(true)", true), (name, far))
    bars = "".join(
        f'<span>{name}</span><i style="width:{100 * far / most:.1f}%"></i><b>{far:.2f}</b>' for name, far in rows
    )
    side = "right" if margin < 0 else "left"  # of the middle, which is 0, the bar ends there
    signed = f'<em><i style="width:{50 * abs(margin) / most:.1f}%;{side}:50%"></i></em>'
    difference = f"{margin:+.2f}".replace("-", "−")
    bars += f'<span title="{name} − d(true)">difference</span>{signed}<b>{difference}</b>'
    return f'<div class="lab-bars">{bars}</div>'


def _voters(run: Run, images: DataSet, found: explain.Why, row: int, k: int, without: list[int]) -> None:
    name = images.test.ids[row]
    st.slider("k: how many training images vote", 1, min(50, len(images.train.ids) - 1), key="why_k",
              label_visibility="collapsed", format="k = %d")  # fmt: skip
    everyone = _asked(run, images, row, k, without)
    shown = [
        clickable.tile(
            png_uri(images.train.images[each]), images.classes[label], f"{far:.2f}",
            f"{images.train.ids[each]}: click to let it vote or not", off=each in without,
        )
        for each, label, far in everyone
    ]  # fmt: skip
    size = 62 if max(map(len, images.classes)) <= 3 else 90
    clickable.tiles(shown, "voters", lambda place: _let_vote_or_not(name, everyone[place][0]), size, ticks=True)
    votes = [label for _, label, _ in found.voters]
    said = found.rules["knn"]
    told = f"kNN says **{plain(images.classes[said])}** ({votes.count(said)} of {len(votes)} votes)"
    first = found.first_true_rank
    with st.container(horizontal=True, vertical_alignment="center"):
        rank = f" · first {plain(images.classes[found.true])} at rank {first}" if first else ""
        st.markdown(told + rank, width="content")
        if without:
            st.button(
                "All vote again",
                help=f"{len(without)} are left out",
                on_click=session.whole(_leave_out),
                args=(name, []),
            )


def _let_vote_or_not(name: str, each: int) -> None:
    """Leaves a training image out of the vote on this image, or takes it back into it."""
    without = _without(name)
    changed = [other for other in without if other != each] if each in without else [*without, each]
    _leave_out(name, changed)


def _leave_out(name: str, rows: list[int]) -> None:
    session.remember("why_without", (name, rows))


def _asked(run: Run, images: DataSet, row: int, k: int, without: list[int]) -> list[tuple[int, int, float]]:
    """Those that vote and, of those left out, the ones that would be among them; the nearest first."""
    most, stored = min(k + len(without), len(images.train.ids)), cached.embedded(run)
    everyone = explain.voters(stored.test[row], stored.train, images.train.labels, most)
    return everyone[: k + min(len(without), _MOST_OUT)]


def _facts(found: explain.Why, images: DataSet, name: str, without: list[int], rule: str) -> None:
    said = [
        f"{_RULES[rule]} {'–' if label is None else plain(images.classes[label])}"
        for rule, label in found.rules.items()
    ]
    st.markdown(
        " · ".join(said),
        help=f"“Called” is by the rule of the gallery: {CLASSIFIERS[rule]}. –: the logits of softmax are not stored; "
        "it is known where the run predicts by it.",
    )
    _removals(found, images, name, without)


def _centres(found: explain.Why, images: DataSet) -> None:
    order = sorted(found.centre_distances.items(), key=lambda each: each[1])
    said = "".join(f"<span><b>{html.escape(images.classes[label])}</b> {far:.2f}</span>" for label, far in order)
    st.html(f'<div class="lab-centres">Distances to the class centres {said}</div>')


def _removals(found: explain.Why, images: DataSet, name: str, without: list[int]) -> None:
    """The fewest training images without which the vote turns right, as pictures, and a button that does it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.removals is None:
            st.markdown("No removal of training images turns the vote right.", width="content")
        elif found.removals:
            count = len(found.removals)
            which = f" The first {_MOST_OUT} are shown." if count > _MOST_OUT else ""
            st.markdown(f"Fewest to remove for a right kNN vote: **{count}**", width="content",
                        help=f"No smaller set of training images does it, with a vote each.{which}")  # fmt: skip
            st.button("Remove them", on_click=session.whole(_leave_out), args=(name, [*without, *found.removals]))
    if found.removals:
        shown = found.removals[:_MOST_OUT]
        cards.strip([images.train.images[each] for each in shown], [images.train.ids[each] for each in shown])


def _biography(run: Run, images: DataSet, row: int) -> None:
    told = cached.biographies(run, images)
    cells = "".join(
        f'<span class="{"" if label == told.true[row] else "wrong"}" title="epoch {epoch}">'
        f"{html.escape(images.classes[label])}<small>{messages.confidence(score)}</small></span>"
        for epoch, label, score in zip(told.epochs, told.predicted[:, row], told.scores[:, row], strict=True)
    )
    kind = told.kinds[row]
    st.html(f'<div class="lab-life"><b>after each epoch</b> {cells} <em>{kind}</em>: {biography.KINDS[kind]}</div>')


def _note(run: Run, name: str) -> None:
    old = notes.read(run).images.get(name, notes.Note())
    options = list(dict.fromkeys([*notes.TAGS, *notes.read(run).tag_counts(), *old.tags]))
    tags = st.multiselect(
        "Tags", options, list(old.tags), key=f"tags_{run.id}_{name}", accept_new_options=True, placeholder="Tags",
        label_visibility="collapsed",
    )  # fmt: skip
    text = st.text_area("Note", old.text, key=f"note_{run.id}_{name}", height=70, max_chars=notes.LONGEST_NOTE,
                        label_visibility="collapsed", placeholder="Note: what do you see?")  # fmt: skip
    new = notes.Note(text.strip(), tuple(tags), old.owner)
    if new != old:
        with errors_explained():
            actions.note(run, name, new)
