"""Biographies on the Mistakes page: of how many images of each class was what learnt, and when."""

from functools import partial

import pandas as pd
import streamlit as st

from app import cached, crowd
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import messages, why
from core.analysis import biography
from core.dataset.loader import DataSet, Split
from core.runs.explaining import Biographies
from core.runs.store import Run

_SHOWN = 48  # images of a kind at once


def show(run: Run, images: DataSet) -> None:
    """Counts a kind and class, and the images of the kind that is chosen."""
    crowd.fragment(messages.errors_explained()(_show))(run, images)


def _show(run: Run, images: DataSet) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        of = st.segmented_control("Of the", ["test images", "training images"], default="test images", required=True,
                                  key="life_split", label_visibility="collapsed")  # fmt: skip
        training = of == "training images"
        st.caption("A training image is called what its nearest other training images vote for." * training)
    with st.spinner("Reading what was predicted after each epoch …"):
        told = cached.biographies(run, images, training)
    st.dataframe(counts(told, images), width="stretch")
    named = {f"{kind} ({told.kinds.count(kind)})": kind for kind in biography.KINDS}
    chosen = st.pills("Kind", list(named), key=f"life_kind_{training}", label_visibility="collapsed")
    kinds = [named[chosen]] if chosen else list(biography.KINDS)
    st.caption(
        "  \n".join(f"**{kind}**: {biography.KINDS[kind]}" for kind in kinds)
        + f"  \nEpochs {told.epochs[0]} to {told.epochs[-1]}. An image is forgotten once for each epoch after which it "
        "is wrong although it was right before (forgetting event, arXiv:1812.05159)."
    )
    if chosen:
        _images(told, images, images.train if training else images.test, named[chosen], training)


def counts(told: Biographies, images: DataSet) -> pd.DataFrame:
    """A row a kind: how many images are of it, and how many of each class."""
    by_class = biography.counts_a_class(told.kinds, told.true, len(images.classes))
    rows = {kind: {"all": sum(row)} | dict(zip(images.classes, row, strict=True)) for kind, row in by_class.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _images(told: Biographies, images: DataSet, split: Split, kind: str, training: bool) -> None:
    rows = [row for row, each in enumerate(told.kinds) if each == kind]
    shown = [
        clickable.tile(
            png_uri(split.images[row]),
            f"labelled {images.classes[told.true[row]]}",
            " · ".join(images.classes[label] for label in told.predicted[-12:, row]),
            f"{split.ids[row]}: what it was called after each of the last 12 epochs",
            name=split.ids[row],
        )
        for row in rows[:_SHOWN]
    ]
    ids = [split.ids[row] for row in rows]
    clickable.tiles(shown, f"lives_{training}", None if training else partial(_open, ids), 120)
    if len(rows) > _SHOWN:
        st.caption(f"The first {_SHOWN} of {len(rows)} images.")


def _open(ids: list[str], place: int) -> None:
    why.open_image(ids[place], among=ids)
