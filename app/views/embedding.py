"""Embedding: the space into which a run sorts the images, drawn in two dimensions."""

import math

import numpy as np
import streamlit as st

from app import cached, crowd, navigation, reading, session
from app.components.plotly_chart import embedding_map
from app.drawing import maps as drawing_of
from app.drawing import pictures
from app.drawing.maps import MapPoints, View
from app.parts import cards, film, guest, header, messages
from app.parts.film import Shown
from core import maps
from core.analysis import biography, projection
from core.analysis.projection import Layout
from core.dataset.loader import DataSet
from core.runs.store import Run

METHODS = {
    "UMAP": "Read only who is near whom: distances between far groups, sizes of groups and directions mean nothing.",
    "PCA": "Distances are true to scale, but what differs in other directions lies in one heap.",
    "Two classes": "The plane through the centres of two classes: read only which of the two an image is nearer to.",
}
NEIGHBOURS = 5
TRAILS = 10  # images of a lasso that have one
LISTED = 32  # images of a lasso
HEIGHT = "max(22rem, calc(100vh - 17rem))"  # what the window leaves
LOWER = "max(20rem, calc(100vh - 19rem))"  # the same below a line of choices


def controls(run: Run) -> tuple[str, Layout, View]:
    """Projection and how it is made, colours and filter, in one line."""
    bare = {"label_visibility": "collapsed"}
    layout = Layout()
    with st.container(horizontal=True, vertical_alignment="center"):
        method = st.segmented_control("Projection", METHODS, default="UMAP", required=True, key="projection", **bare)
        if method == "UMAP":
            layout = umap_settings(run)
        with st.container(width=330):
            options = list(drawing_of.COLOURS)
            colour = st.selectbox("Colour", options, format_func=coloured_by, key="map_colour", **bare)
        with st.container(width=200):
            hint = "Find an image by its id"
            st.text_input(
                hint, placeholder=hint, key="map_search", on_change=session.whole(search), args=(run,), **bare
            )
        only_wrong = st.toggle("Only misclassified", key="map_only_wrong")
        st.toggle("Draw a digit", key="map_draw", help="The run classifies it, and a star shows its place")
    return method, layout, View(colour=colour, only_wrong=only_wrong)


def umap_settings(run: Run) -> Layout:
    """Neighbours, minimum distance and seed of UMAP; they are taken all at once, as a drawing takes a while."""
    own = Layout(seed=run.config.seed)
    button = st.popover("", icon=":material/tune:", help="Neighbours, minimum distance and seed of UMAP")
    with button, st.form(f"umap_of_{run.id}", border=False):
        few, near, chance = (
            "With few of them the drawing keeps the finest detail.",
            "How near each other points may be drawn.",
            "Another seed shows what is chance.",
        )
        neighbours = st.slider("Neighbours", 2, 100, own.neighbours, help=few)
        min_dist = st.slider("Minimum distance", 0.0, 0.99, own.min_dist, 0.01, help=near)
        seed = st.number_input("Seed", 0, 2**32 - 1, own.seed, help=chance)
        st.form_submit_button("Draw")
    return maps.layout_of(run, Layout(neighbours, min_dist, seed))


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
        session.choose_image(wanted if wanted in found else found[0])


def chosen_image(points: MapPoints) -> int | None:
    """The index of the image that the pages look at."""
    wanted = session.chosen_image()
    if wanted is None:
        return None
    if wanted not in points.ids:
        if session.in_address("image"):
            st.warning(f"There is no image {messages.plain(wanted[:60])} in this data set.")
        session.choose_image(None)
        return None
    session.choose_image(wanted)
    return points.ids.index(wanted)


def two_centres(images: DataSet) -> tuple[int, int]:
    """The two classes through whose centres the map is laid; they are chosen here."""
    classes = range(len(images.classes))
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = []
        for place, word in enumerate(("left", "right")):
            with st.container(width=220):
                bare = {"format_func": lambda label: f"At the {word}: {images.classes[label]}"}  # noqa: B023
                said = f"Centre at the {word}"
                chosen.append(
                    st.selectbox(said, classes, place, key=f"centre_{place}", label_visibility="collapsed", **bare)
                )
    return tuple(chosen)


def looked_at(run: Run, images: DataSet, method: str, layout: Layout) -> Shown:
    """The map to be drawn, of the epoch in the address."""
    epochs = film.stored_epochs(run)
    if method == "Two classes":
        return film.planes(run, images, epochs, two_centres(images))
    return film.shown(run, images, method, epochs, layout)


def axes(run: Run, shown: Shown, view: View) -> View:
    """Titles and reach of the axes: a scale where distances mean something."""
    if shown.method == "UMAP":
        return view._replace(reach=film.reach(shown.frames))
    embedded = cached.embedded_at(run, shown.epoch)
    titles = ("from one centre to the other", "across")
    if shown.method == "PCA":
        titles = tuple(f"direction {number}" for number in (1, 2))
        if shown.epoch == run.result.epochs:
            shares = cached.pca_frame(run)[1]
            titles = tuple(
                f"{title} ({share:.0%} of the variance)" for title, share in zip(titles, shares, strict=True)
            )
    if shown.method == "Two classes":
        return view._replace(axes=titles, reach=film.reach(shown.frames))
    drawn = [np.abs(frame).max() for frame in (shown.frame, *shown.frames.values())]
    return view._replace(axes=titles, extent=math.ceil(max(1.02 * max(drawn), projection.extent(embedded.train))))


def picture(run: Run, images: DataSet, points: MapPoints, shown: Shown, view: View) -> None:
    """The map; what the mouse picks on it is kept."""
    few = len(points.ids) <= drawing_of.NAMED
    embedding_map(
        drawing_of.embedding_map(shown.frame, points, images.classes, axes(run, shown, view)),
        cached.sprite_sheet(images) if few else b"",
        images.train.images.shape[2:0:-1],
        pictures.SPRITE_COLUMNS,
        points.captions,
        key=f"map_{run.id}",
        height=LOWER if shown.method == "Two classes" else HEIGHT,
        on_point=lambda index: session.choose_image(points.ids[index]),
        on_lasso=lambda indices: session.remember("lasso", indices),
        on_epoch=lambda epoch: film.choose(epoch, film.stored_epochs(run)),
        film=film.for_browser(run, images, shown),
        alt=f"{shown.method} of the embeddings",
    )


def inspect(run: Run, images: DataSet, points: MapPoints, index: int, shown: Shown, near: np.ndarray) -> None:
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
    embeddings = np.concatenate(cached.embedded_at(run, shown.epoch)[:2])
    distance = np.linalg.norm(embeddings[near].astype(np.float64) - embeddings[index], axis=1)
    tiles = [
        pictures.tile(images.train.images[row], images.classes[images.train.labels[row]], f"{away:.2f}")
        for row, away in zip(near, distance, strict=True)
    ]
    cards.tiles(*tiles)
    drawn_near = projection.nearest_of(shown.frame, index, training, len(near))[0]
    st.caption(
        f"Above: its {len(near)} nearest training images in the embedding, with their distances. The drawing keeps "
        f"{len(set(near.tolist()) & set(drawn_near.tolist()))} of these {len(near)} neighbours. It lies "
        f"{points.distances[index]:.2f} from the mean of its class."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if test:
            navigation.link("mistakes", "→ Why?", run=run.id, image=name)
        navigation.link("try", "→ Try your own", run=run.id)
        st.button("Let go", on_click=session.whole(session.choose_image), args=(None,), type="tertiary")


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


def trust(run: Run, shown: Shown, points: MapPoints) -> None:
    """How far the drawing can be trusted, in one line."""
    found = cached.trust(run, (shown.method, *shown.settings), shown.epoch, run.active, shown.frame, points.labels)
    st.caption(
        f"{film.when(shown.epoch)} {METHODS[shown.method]} Trustworthiness {found.trustworthiness:.3f} · kNN (5) is "
        f"right for {messages.percent(found.in_embedding)} of the test images in the embedding, for "
        f"{messages.percent(found.in_drawing)} in the drawing."
    )


def told(run: Run, images: DataSet, points: MapPoints) -> MapPoints:
    """The points with what became of the test images over the epochs."""
    found = cached.biographies(run, images)
    unknown = np.full(len(images.train.ids), np.nan)
    places = biography.learnt_for_good(found.predicted, found.true)
    epochs = np.array([*found.epochs, np.nan])[places]
    return points._replace(
        learnt=np.concatenate([unknown, epochs]), forgotten=np.concatenate([unknown, found.forgotten.astype(float)])
    )


@messages.errors_explained()
def draw(run: Run, method: str, layout: Layout, view: View) -> None:
    """The map and, beside it, the image that was chosen last."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    with st.container():  # one, however much is said, so that the map keeps its place and its zoom
        if missing := session.recall("map_not_found"):
            st.warning(f"No image has {messages.plain(missing)} in its id.")
        shown = looked_at(run, images, method, layout)
    embedded = cached.embedded_at(run, shown.epoch)
    points = drawing_of.map_points(images, embedded)
    if view.colour in ("learnt", "forgotten"):
        points = told(run, images, points)
    chosen, near = chosen_image(points), np.empty(0, int)
    if chosen is not None:
        near = projection.nearest_of(np.concatenate(embedded[:2]), chosen, len(images.train.ids), NEIGHBOURS)[0]
    lasso = [index for index in session.recall("lasso") or [] if index < len(points.ids)]
    followed = [each for each in (chosen, *lasso[:TRAILS]) if each is not None]
    view = view._replace(chosen=chosen, linked=tuple(near.tolist()), trails=film.trails(shown, followed))
    map_column, image_column = st.columns([3.4, 1.2], gap="medium")
    with map_column:
        picture(run, images, points, shown, view)
        trust(run, shown, points)
    with image_column:
        if session.recall("map_draw"):
            crowd.fragment(guest.desk)(run, images, shown, f"map_{run.id}")
        if lasso:
            lassoed(images, points, lasso)
        if chosen is not None:
            inspect(run, images, points, chosen, shown, near)
        elif not session.recall("map_draw"):
            facts(images, points)


def facts(images: DataSet, points: MapPoints) -> None:
    """What is drawn, while no image is chosen."""
    st.caption(
        f"{len(images.train.ids):,} training images (dots), {len(images.test.ids):,} test images (diamonds), "
        f"{points.wrong.sum():,} of them misclassified (red ring). A star is the training image nearest to the mean of "
        "its class."
    )
    st.caption("Point at a mark to see its image, click it to keep it. Drag, turn the wheel, click a class to hide it.")
    st.caption("▶ plays the epochs. Chosen images leave a trail.")


def page() -> None:
    """The run picker, the controls in one line, and the map."""
    runs = [run for run in reading.all_runs() if run.result or run.active]
    run = header.pick_run(runs, key="run_on_embedding")
    if run is None:
        messages.no_runs_yet()
        return
    if not run.result:
        crowd.fragment(film.follow, run_every=1.5)(run, Layout())
        st.info("The first map comes when the first epoch has ended.")
        return
    method, layout, view = controls(run)
    if run.active:
        crowd.fragment(film.follow, run_every=1.5)(run, layout)
    draw(run, method, layout, view)
