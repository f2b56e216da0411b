"""Mistakes: every misclassified test image beside the two training images that explain the error."""

import streamlit as st

from app import cached, reading, session
from app.components.plotly_chart import live_chart
from app.drawing import charts
from app.parts import cards, header, messages
from core import places
from core.exchange import pictures
from core.runs.store import Run
from core.settings.choices import CLASSIFIERS

A_PAGE = 12
ORDERS = {
    "test set": "Order of the test set",
    "surest": "Surest of the wrong class first",
    "closest": "Smallest difference of the two distances first",
}


def ordered(table, order: str):
    """The mistakes in the chosen order; the number of a mistake is its place in the test set's order, from 1."""
    if order == "surest":
        return table.sort_values("score", ascending=False, kind="stable")
    if order == "closest":
        difference = (table["nearest_true_distance"] - table["nearest_predicted_distance"]).abs()
        return table.loc[difference.sort_values(kind="stable").index]
    return table


def from_the_first_page() -> None:
    """A new filter begins at its first page."""
    session.remember("mistakes_page", 1)


@messages.errors_explained()
def show(run: Run) -> None:
    """Filters, one page of cards, and the export."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    table = cached.wrong_images(run, images)
    total, accuracy = len(images.test.ids), run.result.test_accuracy
    rule = CLASSIFIERS[run.config.predicts].lower() + f", k = {run.config.neighbours}" * ("knn" in run.config.predicts)
    st.markdown(
        f"**{len(table)} of {total:,} test images are wrong** {header.after(run)} "
        f"(accuracy {accuracy:.2%}, predicted by {rule}). Distances are between embeddings, from 0 to 20."
    )
    if table.empty:
        st.success("No mistakes. Is that too good to be true? Try fewer epochs, or another data set.")
        return
    with st.expander("Which class was taken for which"):
        side = 130 + 34 * max(8, len(images.classes))
        live_chart(charts.confusion_matrix(table, images), "confusion", side, alt="Confusion matrix of the test images")
    name_of = dict(zip(images.class_numbers, images.classes, strict=True))
    trues, predicteds, orders, exports = st.columns([2, 2, 3, 2], vertical_alignment="bottom")
    any_class = [None, *name_of]
    true = trues.selectbox(
        "True class", any_class, on_change=from_the_first_page, format_func=lambda number: name_of.get(number, "any")
    )
    predicted = predicteds.selectbox(
        "Predicted class",
        any_class,
        on_change=from_the_first_page,
        format_func=lambda number: name_of.get(number, "any"),
    )
    order = orders.selectbox("Order", ORDERS, format_func=ORDERS.get)
    if exports.button("Export as PNG", width="stretch", help="Three pictures a mistake, and a list as CSV."):
        folder = places.pictures_folder() / run.id
        written = pictures.export(table, images, folder)
        st.success(f"{written} pictures of {len(table)} mistakes are in {folder}")
    chosen = ordered(table, order)
    if true is not None:
        chosen = chosen[chosen["true"] == true]
    if predicted is not None:
        chosen = chosen[chosen["predicted"] == predicted]
    if chosen.empty:
        st.info("No mistake of this kind.")
        return
    if len(chosen) < len(table):
        st.caption(f"{len(chosen)} mistakes match the filter. An export holds all {len(table)}.")
    pages = -(-len(chosen) // A_PAGE)
    page = 1
    if pages > 1:
        session.clamp("mistakes_page", pages)
        page = st.pagination(pages, key="mistakes_page")
    cards.mistake_grid(chosen.iloc[(page - 1) * A_PAGE : page * A_PAGE], images)


def page() -> None:
    """The run picker and the mistakes."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_mistakes")
    if run is None:
        messages.no_runs_yet()
    else:
        show(run)
