"""Labels to doubt on the Mistakes page: test images whose label people dispute, and training images that runs with
validation take for something else.
"""

import streamlit as st

from app import cached, navigation, reading, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import why
from app.parts.messages import confidence, percent, plain
from core.analysis import disputes
from core.dataset.loader import DataSet
from core.runs import suspicion
from core.runs.store import Run
from core.settings.training import MOST_LEFT_OUT

_SHOWN = 48


def show(run: Run, images: DataSet) -> None:
    """Test images whose labels are disputed; training images whose labels are doubted. None is removed."""
    _disputed(run, images)
    images = images.without(())
    asked = suspicion.with_validation(reading.all_runs(), images)
    if not asked:
        st.info("Labels are doubted by runs that have not learnt from the image: train one with a validation share "
                "above 0, e.g. 0.2. Runs with other seeds keep other images.")  # fmt: skip
        navigation.link("train", "→ Go to Train")
        return
    found = cached.suspicion(asked, images)
    count = len(found.suspects)
    st.markdown(
        f"**{count} of {found.asked:,} training images** are confidently of another class than their label.",
        help="Confident learning (arXiv:1911.00068): a run votes on the images that it kept for validation with the "
        "training images nearest to each. An image is doubted if another class gets at least the share of votes that "
        "images of that class get on average.",
    )
    runs = f"{len(found.runs)} run{'s' * (len(found.runs) > 1)}"
    st.caption(f"Asked: {runs} with validation images, {len(images.train.ids):,} training images in all. "
               "A doubt is no proof; nothing is removed unless you choose so.")  # fmt: skip
    _leave_out([images.train.ids[each.row] for each in found.suspects])
    shown = [
        clickable.tile(
            png_uri(images.train.images[each.row]),
            f"{images.classes[each.labelled]}, or {images.classes[each.looks_like]}?",
            f"{confidence(each.self_confidence)} for {images.classes[each.labelled]}",
            f"{images.train.ids[each.row]}: labelled {images.classes[each.labelled]}",
            name=images.train.ids[each.row],
        )
        for each in found.suspects[:_SHOWN]
    ]
    clickable.tiles(shown, f"doubts_{run.id}", 120)
    if count > _SHOWN:
        st.caption(f"The first {_SHOWN} of {count} images.")
    if not count:
        st.success(plain("No label is doubted."))


def _disputed(run: Run, images: DataSet) -> None:
    """The test images whose label people dispute, with their votes, and what the run called them."""
    found = disputes.find(images)
    if not found:
        return
    said = cached.embedded(run).predicted
    labelled, without = disputes.accuracies(said, images)
    st.markdown(
        f"**{len(found)} of {len(images.test.ids):,} test images** have a label that people dispute "
        f"(arXiv:2103.14749). Accuracy as labelled: {percent(labelled)}"
        + (f"; without them: {percent(without)}." if without is not None else ".")
    )
    shown = [
        clickable.tile(
            png_uri(images.test.images[row]),
            f"labelled {each.labelled}, called {images.classes[said[row]]}",
            f"⚠ {each.said}",
            f"{images.test.ids[row]}: {each.said}",
            name=images.test.ids[row],
        )
        for row, each in found.items()
    ]
    ids = [images.test.ids[row] for row in found]
    clickable.tiles(shown, "disputed", lambda place: why.open_image(ids[place], among=ids), 200)


def _leave_out(doubted: list[str]) -> None:
    """A button that puts the doubted images into the form of the next run, and what the form leaves out now."""
    form = session.form()
    left_out = form.read()[0]["exclude"]
    new = [each for each in doubted if each not in left_out][: MOST_LEFT_OUT - len(left_out)]
    with st.container(horizontal=True, vertical_alignment="center"):
        if new:
            these = f"these {len(new)}" if len(new) > 1 else "this one"
            st.button(
                f"Leave {these} out of the next run", on_click=session.whole(form.leave_out), args=(new,),
                disabled=form.fixed("exclude"), type="primary",
                help="Puts their ids into the form on Train, as “Images left out”. It is part of the run's settings "
                "and of its receipt.",
            )  # fmt: skip
        if left_out:
            st.button(
                "Take them back",
                on_click=session.whole(form.typed),
                args=("exclude", ""),
                disabled=form.fixed("exclude"),
            )
            count = f"{len(left_out)} training image{'s' * (len(left_out) > 1)}"
            st.markdown(f"The next run leaves out **{count}**.", width="content")
            navigation.link("train", "→ Train")
