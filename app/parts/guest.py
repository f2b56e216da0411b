"""A digit that somebody draws beside the map: what the run takes it for, and its place among the others."""

import streamlit as st

from app import cached
from app.components.canvas import canvas
from app.components.plotly_chart import map_guest
from app.drawing import answers
from app.parts import messages
from app.parts.film import Shown
from core.dataset import digit
from core.dataset.loader import DataSet
from core.runs.store import Run


@messages.errors_explained()
def desk(run: Run, images: DataSet, shown: Shown, map_key: str) -> None:
    """The canvas; after every stroke the class, its neighbours and their votes, and a star on the map with this key."""
    ink = canvas("map_canvas")
    if ink is None:
        st.caption("Draw a digit: a star will show its place on the map.")
        map_guest(map_key, None, None)
        return
    classifier, classes = cached.classifier(run, images), images.classes
    k = min(run.config.neighbours, classifier.most_neighbours)
    (answer,) = classifier.classify(digit.prepared(ink, images.train.images)[None], k)
    votes = " · ".join(f"{count} × {classes[label]}" for label, count in answer.votes.items())
    near = [(images.train.images[row], classes[label], distance) for row, label, distance in answer.voters]
    st.html(answers.verdict(classes[answer.label], answer.score))
    st.html(answers.neighbours(f"Votes of its {k} nearest: ", votes, near, 44))
    if shown.epoch != run.result.epochs:
        st.caption(f"So says the network after epoch {run.result.epochs}. Its star is on the map of that epoch.")
        map_guest(map_key, None, None)
        return
    map_guest(map_key, answer.place(shown.frame), shown.frame[[row for row, *_ in answer.voters]])
    st.caption("The star stands at the mean of their places on the map, weighted by 1 / distance.")
