"""Several runs on the Mistakes page: which images all of them get wrong, and which one alone."""

import streamlit as st

from app import cached, crowd, reading, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import header, messages, why
from app.parts.messages import percent, plain
from core.dataset.loader import DataSet
from core.runs.comparison import MOST_RUNS, Comparison
from core.runs.store import Run

_SHOWN = 48  # images of a group at once


def show(run: Run, images: DataSet) -> None:
    """The runs to lay beside this one, and the mistakes that they have in common."""
    others = {
        each.id: each
        for each in reading.all_runs()
        if each.result and not each.archived and each.id != run.id and each.data.fingerprint == run.data.fingerprint
    }
    if not others:
        st.info("No other run has a result on these images. Train another one, then come back.")
        return
    called = header.names(reading.all_runs())
    asked = [each for each in session.chosen_runs() if each in others]
    chosen = st.multiselect(
        "Compare with", list(others), asked or list(others)[:1],
        format_func=lambda each: header.run_name(others[each], called[each]),
        max_selections=MOST_RUNS - 1, key=f"several_{run.id}",
    )  # fmt: skip
    if not chosen:
        st.caption("Choose at least one other run.")
        return
    session.choose_runs(chosen)
    found = cached.comparison([run, *(others[each] for each in chosen)], images)
    crowd.fragment(messages.errors_explained()(_groups))(found, [called[each.id] for each in found.runs])


def _groups(found: Comparison, names: list[str]) -> None:
    told = [f"{plain(name)}: {percent(row.mean())}" for name, row in zip(names, found.right, strict=True)]
    st.caption("Classified correctly: " + " · ".join(told) + ". Each run by its own rule, after its last epoch.")
    kinds = [("misclassified by all", found.all_wrong)]
    kinds += [(f"by {name} alone", rows) for name, rows in zip(names, found.alone_wrong, strict=True)]
    labels = {f"{plain(kind)} ({len(rows)})": rows for kind, rows in kinds}
    chosen = st.pills("Group", list(labels), default=next(iter(labels)), key="several_group", required=True,
                      label_visibility="collapsed")  # fmt: skip
    rows = labels.get(chosen, found.all_wrong)
    if not len(rows):
        st.caption("No image is in this group.")
        return
    images, said = found.images, [cached.embedded(run).predicted for run in found.runs]
    shown = [
        clickable.tile(
            png_uri(images.test.images[row]),
            f"labelled {images.classes[images.test.labels[row]]}",
            "called " + ", ".join(images.classes[each[row]] for each in said),
            "\n".join(f"{name}: {images.classes[each[row]]}" for name, each in zip(names, said, strict=True)),
            name=images.test.ids[row],
        )
        for row in rows[:_SHOWN]
    ]
    ids = [images.test.ids[row] for row in rows]
    clickable.tiles(shown, "several_tiles", lambda place: why.open_image(ids[place], among=ids), 120)
    if len(rows) > _SHOWN:
        st.caption(f"The first {_SHOWN} of {len(rows)} images.")
