"""Embedding: the space into which a run sorts the images, drawn in two dimensions."""

import math

import numpy as np
import streamlit as st

from app import cached, navigation, reading, session
from app.components.plotly_chart import embedding_map
from app.drawing import maps as drawing_of
from app.drawing import pictures
from app.drawing.maps import MapPoints, View
from app.parts import cards, header, messages
from core import maps
from core.analysis import projection
from core.dataset.loader import DataSet
from core.runs.store import Run

METHODS = {
    "UMAP": "Read only who is near whom: distances between far groups, sizes of groups and directions mean nothing.",
    "PCA": "Distances are true to scale, but what differs in other directions lies in one heap.",
}
NEIGHBOURS = 5
LISTED = 32  # images of a lasso
HEIGHT = "max(22rem, calc(100vh - 17rem))"  # what the window leaves


def controls(run: Run) -> tuple[str, View]:
    """Projection, colours and filter, in one line."""
    bare = {"label_visibility": "collapsed"}
    with st.container(horizontal=True, vertical_alignment="center"):
        method = st.segmented_control("Projection", METHODS, default="UMAP", required=True, key="projection", **bare)
        with st.container(width=330):
            options = list(drawing_of.COLOURS)
            colour = st.selectbox("Colour", options, format_func=coloured_by, key="map_colour", **bare)
        with st.container(width=240):
            hint = "Find an image by its id"
            st.text_input(hint, placeholder=hint, key="map_search", on_change=search, args=(run,), **bare)
        only_wrong = st.toggle("Only misclassified", key="map_only_wrong")
    return method, View(colour=colour, only_wrong=only_wrong)


def coloured_by(colour: str) -> str:
    """What the menu says of a way to colour the map."""
    return f"Colour: {drawing_of.COLOURS[colour]}"


def search(run: Run) -> None:
    """Chooses the first image, from the last one found on, whose id holds what was typed."""
    wanted = (session.recall("map_search") or "").strip()
    images = reading.images_of(run)
    found = [name for name in (*images.test.ids, *images.train.ids) if wanted and wanted in name]
    session.remember("map_not_found", wanted if wanted and not found else "")
    if found:
        choose(wanted if wanted in found else found[0])


def choose(name: str | None) -> None:
    """Takes an image as the one looked at and puts it into the address."""
    session.remember("chosen_image", name)
    session.into_address("image", name)


def chosen_image(points: MapPoints) -> int | None:
    """The index of the image in the address, else of the one chosen last."""
    wanted = session.in_address("image") or session.recall("chosen_image")
    if wanted is None:
        return None
    if wanted not in points.ids:
        st.warning(f"There is no image {messages.plain(wanted)} in this data set.")
        choose(None)
        return None
    choose(wanted)
    return points.ids.index(wanted)


def wait(drawing: maps.Drawing) -> None:
    """How far UMAP has come; draws the page anew when it is there."""
    if drawing.ended:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(drawing.share, text=f"UMAP is being drawn ({drawing.share:.0%}); until then this is PCA.")
        if st.button("Cancel", key="cancel_map"):
            drawing.cancel()
            st.rerun()


def drawn(run: Run, method: str) -> tuple[str, np.ndarray]:
    """The method that is shown and its map (N + Q, 2): PCA while UMAP is being drawn, or where it would mislead."""
    pca = cached.pca_frame(run)[0]
    if method == "PCA":
        return "PCA", pca
    if reason := cached.collapsed(run):
        st.info(
            f"{reason} So this is PCA, on the scale of the whole space. Accuracy can be high all the same: only the "
            "order of the distances decides, however small they are."
        )
        return "PCA", pca
    drawing = maps.umap(run, run.result.epochs)
    if drawing.frame is not None:
        return "UMAP", drawing.frame
    if drawing.error or drawing.cancelled:
        said = f"UMAP could not be drawn: {messages.plain(drawing.error)}" if drawing.error else "UMAP was cancelled."
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning(f"{said} This is PCA.")
            st.button("Draw UMAP", on_click=maps.umap, args=(run, run.result.epochs, True))
    else:
        st.fragment(wait, run_every=1)(drawing)
    return "PCA", pca


def picture(run: Run, images: DataSet, points: MapPoints, method: str, frame: np.ndarray, view: View) -> None:
    """The map; what the mouse picks on it is kept."""
    if method == "PCA":
        shares = cached.pca_frame(run)[1]
        titles = tuple(f"direction {n} ({share:.0%} of the variance)" for n, share in enumerate(shares, start=1))
        view = view._replace(axes=titles, extent=math.ceil(projection.extent(cached.embedded(run).train)))
    few = len(points.ids) <= drawing_of.NAMED
    picked = embedding_map(
        drawing_of.embedding_map(frame, points, images.classes, view),
        cached.sprite_sheet(images) if few else b"",
        images.train.images.shape[2:0:-1],
        pictures.SPRITE_COLUMNS,
        points.captions,
        key=f"map_{run.id}",
        height=HEIGHT,
        alt=f"{method} of the embeddings",
    )
    if picked.lasso is not None:
        session.remember("lasso", picked.lasso)
    if picked.point is not None:
        choose(points.ids[picked.point])
    if picked.lasso is not None or picked.point is not None:
        st.rerun()


def inspect(run: Run, images: DataSet, points: MapPoints, index: int, frame: np.ndarray, near: np.ndarray) -> None:
    """One image: large, what it is and was taken for, its neighbours in the embedding."""
    training = len(images.train.ids)
    name, label = points.ids[index], images.classes[points.labels[index]]
    test = points.is_test[index]
    pixels = images.test.images[index - training] if test else images.train.images[index]
    st.html(pictures.large(pixels, name))
    said = f"**{messages.plain(name)}** · {'test' if test else 'training'} · labelled **{messages.plain(label)}**"
    if test:
        said += (
            f", predicted **{messages.plain(images.classes[points.predicted[index]])}** ({points.scores[index]:.0%})"
        )
    st.markdown(said)
    embeddings = np.concatenate(cached.embedded(run)[:2])
    distance = np.linalg.norm(embeddings[near].astype(np.float64) - embeddings[index], axis=1)
    tiles = [
        pictures.tile(images.train.images[row], images.classes[images.train.labels[row]], f"{away:.2f}")
        for row, away in zip(near, distance, strict=True)
    ]
    cards.tiles(*tiles)
    drawn_near = projection.nearest_of(frame, index, training, len(near))[0]
    st.caption(
        f"Above: its {len(near)} nearest training images in the embedding, with their distances. The drawing keeps "
        f"{len(set(near.tolist()) & set(drawn_near.tolist()))} of these {len(near)} neighbours. It lies "
        f"{points.distances[index]:.2f} from the mean of its class."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if test:
            navigation.link("mistakes", "→ Why?", run=run.id, image=name)
        st.button("Let go", on_click=choose, args=(None,), type="tertiary")


def lassoed(images: DataSet, points: MapPoints, chosen: list[int]) -> None:
    """The images inside the lasso, with the counts of their classes."""
    rows = np.array(chosen)
    counts = np.bincount(points.labels[rows], minlength=len(images.classes))
    often = np.argsort(-counts, kind="stable")[: (counts > 0).sum()][:8]
    words = ", ".join(f"{counts[label]} × {images.classes[label]}" for label in often)
    more = f", {points.wrong[rows].sum()} misclassified" if points.wrong[rows].any() else ""
    st.markdown(f"**Lasso: {len(rows):,} images** ({messages.plain(words)}{more})")
    training = len(images.train.ids)
    shown = rows[:LISTED]
    cards.strip(
        [images.test.images[row - training] if row >= training else images.train.images[row] for row in shown],
        [points.captions[row] for row in shown],
    )
    if len(rows) > LISTED:
        st.caption(f"The first {LISTED} of them.")


def trust(run: Run, method: str, frame: np.ndarray, points: MapPoints) -> None:
    """How far the drawing can be trusted, in one line."""
    found = cached.trust(run, method, frame, points.labels)
    st.caption(
        f"{METHODS[method]} Trustworthiness {found.trustworthiness:.3f} · the 5 nearest training images are right for "
        f"{found.in_embedding:.1%} of the test images in the embedding, for {found.in_drawing:.1%} in the drawing."
    )


@messages.errors_explained()
def draw(run: Run, method: str, view: View) -> None:
    """The map and, beside it, the image that was chosen last."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    points = drawing_of.map_points(images, cached.embedded(run))
    if missing := session.recall("map_not_found"):
        st.warning(f"No image has {messages.plain(missing)} in its id.")
    method, frame = drawn(run, method)
    chosen, near = chosen_image(points), np.empty(0, int)
    if chosen is not None:
        embeddings = np.concatenate(cached.embedded(run)[:2])
        near = projection.nearest_of(embeddings, chosen, len(images.train.ids), NEIGHBOURS)[0]
    map_column, image_column = st.columns([3.4, 1.2], gap="medium")
    with map_column:
        picture(run, images, points, method, frame, view._replace(chosen=chosen, linked=tuple(near.tolist())))
        trust(run, method, frame, points)
    with image_column:
        lasso = [index for index in session.recall("lasso") or [] if index < len(points.ids)]
        if lasso:
            lassoed(images, points, lasso)
        if chosen is not None:
            inspect(run, images, points, chosen, frame, near)
        else:
            facts(images, points)


def facts(images: DataSet, points: MapPoints) -> None:
    """What is drawn, while no image is chosen."""
    st.caption(
        f"{len(images.train.ids):,} training images (dots), {len(images.test.ids):,} test images (diamonds), "
        f"{points.wrong.sum():,} of them misclassified (red ring)."
    )
    st.caption("Point at a mark to see its image, click it to keep it. Drag, turn the wheel, click a class to hide it.")


def page() -> None:
    """The run picker, the controls in one line, and the map."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_embedding")
    if run is None:
        messages.no_runs_yet()
        return
    method, view = controls(run)
    draw(run, method, view)
