"""Mistakes: the confusion matrix, whose cells open their images, and every misclassified test image."""

import numpy as np
import pandas as pd
import streamlit as st

from app import cached, reading, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import header, messages, why
from app.parts.messages import percent, plain
from core import places
from core.analysis import disputes
from core.dataset.loader import DataSet
from core.exchange import pictures
from core.exchange.tables import safe_csv
from core.runs import notes
from core.runs.store import Run
from core.settings.choices import CLASSIFIERS

A_PAGE = 24
ORDERS = {
    "id": "test set's order",
    "surest": "confidence",
    "margin": "margin",
    "forgotten": "times forgotten",
}


def ordered(table: pd.DataFrame, order: str) -> pd.DataFrame:
    """The mistakes in the chosen order: the surest, the farthest from right, the most often forgotten first."""
    if order == "surest":
        return table.sort_values("score", ascending=False, kind="stable")
    if order == "margin":
        return table.loc[margins(table).sort_values(kind="stable").index]
    if order == "forgotten":
        return table.sort_values("forgotten", ascending=False, kind="stable")
    return table


def margins(table: pd.DataFrame) -> pd.Series:
    """d(predicted) - d(true) of each row."""
    return table["nearest_predicted_distance"] - table["nearest_true_distance"]


def counted(predicted: np.ndarray, images: DataSet) -> np.ndarray:
    """(C, C) counts: row = true class, column = predicted class."""
    count = len(images.classes)
    return np.bincount(images.test.labels * count + predicted, minlength=count * count).reshape(count, count)


def a_class(counts: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class in percent, from (C, C) counts; empty where nothing is to be divided."""
    right = counts.diagonal().astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = right / counts.sum(axis=0), right / counts.sum(axis=1)
        f1 = 2 * right / (counts.sum(axis=0) + counts.sum(axis=1))
    columns = {"class": names, "precision %": 100 * precision, "recall %": 100 * recall, "F1 %": 100 * f1}
    return pd.DataFrame(columns).round(1)


def pairs(counts: np.ndarray, names: list[str], most: int = 4) -> str:
    """The most confused pairs in words, e.g. "4 → 9 five times"."""
    off = counts * ~np.eye(len(counts), dtype=bool)
    cells = np.argsort(-off, axis=None, kind="stable")[:most]
    found = [(*divmod(int(cell), len(counts)), int(off.flat[cell])) for cell in cells if off.flat[cell]]
    return " · ".join(f"{names[true]} → {names[said]} {count}×" for true, said, count in found)


def _rule(run: Run, images: DataSet) -> tuple[str, int]:
    """The rule and k chosen in one line above the pictures."""
    own = run.config.predicts
    rules = [rule for rule in CLASSIFIERS if rule != "softmax" or own == "softmax"]
    left, right = st.columns([3, 2], vertical_alignment="center")
    if session.recall("mistakes_rule") not in rules:
        session.remember("mistakes_rule", own)
    rule = left.selectbox(
        "Rule", rules, format_func=CLASSIFIERS.get, key="mistakes_rule", label_visibility="collapsed",
        help="Softmax can be chosen where the run itself predicts by it: its logits are not stored.",
        persist_state="session",
    )  # fmt: skip
    k = run.config.neighbours
    if rule in ("knn", "knn_weighted"):
        highest = min(50, len(images.train.ids))
        if session.recall("mistakes_k") is None or session.recall("mistakes_k") > highest:
            session.remember("mistakes_k", min(k, highest))
        k = right.slider("k", 1, highest, key="mistakes_k", label_visibility="collapsed", persist_state="session")
    return rule, k


def _matrix(predicted: np.ndarray, images: DataSet) -> None:
    counts, names = counted(predicted, images), list(images.classes)
    shares = st.toggle("Row %", key="mistakes_shares", persist_state="session")
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = [[f"{100 * each:.0f}" if shares else str(count) for each, count in zip(*rows, strict=True)]
             for rows in zip(counts / totals, counts, strict=True)]  # fmt: skip
    clicked = clickable.confusion(names, counts.tolist(), shown, session.recall("mistakes_cell"), "confusion")
    if clicked:
        session.remember("mistakes_cell", None if clicked == session.recall("mistakes_cell") else clicked)
        session.remember("mistakes_page", 1)
        st.rerun()
    st.caption(f"Rows: true class. Columns: predicted class. {plain(pairs(counts, names))}")
    with st.expander("Precision, recall and F1 of each class"):
        st.dataframe(a_class(counts, names), hide_index=True)


def _right(predicted: np.ndarray, scores: np.ndarray, images: DataSet, rows: np.ndarray) -> pd.DataFrame:
    """Images classified correctly in the columns of the mistakes; they have no two neighbours to tell apart."""
    numbers = np.array(images.class_numbers)
    return pd.DataFrame(
        {
            "test_index": rows,
            "id": [images.test.ids[row] for row in rows],
            "true": numbers[images.test.labels[rows]],
            "predicted": numbers[predicted[rows]],
            "score": scores[rows],
            "nearest_true_distance": np.nan,
            "nearest_predicted_distance": np.nan,
        }
    )


def _table(run: Run, images: DataSet, said: tuple) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images to show, filtered and in order, and all of their kind."""
    predicted, scores, wrong = said
    cell = session.recall("mistakes_cell")
    if cell and max(cell) >= len(images.classes):
        cell = None
    kind, order, tag, text = st.columns([2, 2, 2, 2])
    options = ["misclassified", "classified correctly"]
    shown = kind.selectbox("Show", options, key="mistakes_kind", persist_state="session")
    chosen_order = order.selectbox(
        "Sort by", ORDERS, format_func=ORDERS.get, key="mistakes_order", persist_state="session"
    )
    found = notes.read(run)
    tags = [None, *found.tag_counts()]
    chosen_tag = tag.selectbox(
        "Tag", tags, format_func=lambda each: each or "any", key="mistakes_tag", persist_state="session"
    )
    wanted = text.text_input("Id contains", key="mistakes_id", persist_state="session").strip()
    right_ones = np.flatnonzero(predicted == images.test.labels)
    of_right = shown == options[1] or (cell is not None and cell[0] == cell[1])
    table = _right(predicted, scores, images, right_ones) if of_right else wrong
    table = table.assign(forgotten=cached.biographies(run, images).forgotten[table["test_index"].to_numpy(int)])
    chosen = ordered(table, chosen_order)
    if cell:
        true, called = (images.class_numbers[each] for each in cell)
        chosen = chosen[(chosen["true"] == true) & (chosen["predicted"] == called)]
    if chosen_tag:
        chosen = chosen[[chosen_tag in found.images.get(name, notes.Note()).tags for name in chosen["id"]]]
    if wanted:
        chosen = chosen[chosen["id"].str.contains(wanted, regex=False)]
    return chosen, table


def _tile(row, images: DataSet, disputed: dict, most: float) -> dict:
    names = dict(zip(images.class_numbers, images.classes, strict=True))
    margin = row.nearest_predicted_distance - row.nearest_true_distance
    mark = " ⚠" if row.test_index in disputed else ""
    hint = f"{row.id}: {names[row.true]} called {names[row.predicted]}"
    if mark:
        hint += f"; the label is disputed: {disputed[row.test_index].said}"
    bar = None if np.isnan(margin) else min(1.0, abs(margin) / most)
    line = f"{row.score:.0%}" if bar is None else f"{row.score:.0%} · {margin:.2f}"
    src = png_uri(images.test.images[row.test_index])
    return clickable.tile(src, f"{names[row.true]} → {names[row.predicted]}{mark}", line, hint, bar)


def _gallery(run: Run, images: DataSet, said: tuple) -> None:
    chosen, table = _table(run, images, said)
    session.remember("mistakes_list", chosen["id"].tolist())
    if table.empty:
        st.success("No mistakes. Is that too good to be true? Try fewer epochs, or another data set.")
        return
    if chosen.empty:
        st.info("No image of this kind.")
        return
    pages = -(-len(chosen) // A_PAGE)
    session.clamp("mistakes_page", pages)
    page = st.pagination(pages, key="mistakes_page") if pages > 1 else 1
    rows = chosen.iloc[(page - 1) * A_PAGE : page * A_PAGE]
    most = float(margins(chosen).abs().max()) or 1.0
    disputed = disputes.find(images)
    picked = clickable.tiles([_tile(row, images, disputed, most) for row in rows.itertuples()], "tiles", 98)
    if picked is not None:
        session.into_address("image", rows.iloc[picked]["id"])
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{len(chosen)} of {len(table)} shown. Confidence · d(predicted) − d(true). Click a picture: why?")
        if "nearest_true_index" in chosen:
            _downloads(run, images, chosen)
    with st.expander("As a table"):
        st.dataframe(chosen.drop(columns=["test_index"]), hide_index=True)


def _downloads(run: Run, images: DataSet, chosen: pd.DataFrame) -> None:
    listed = chosen.drop(columns="forgotten")
    csv = safe_csv(chosen)
    st.download_button("ZIP", lambda: pictures.packed(listed, images), f"{run.id}-mistakes.zip", "application/zip",
                       help="What is filtered: three pictures a mistake, a list as CSV, a contact sheet.")  # fmt: skip
    st.download_button("CSV", csv, f"{run.id}-mistakes.csv", "text/csv")
    if st.button("Export as PNG", help="Three pictures a mistake, and a list as CSV, on the lab's own disk."):
        folder = places.pictures_folder() / run.id
        written = pictures.export(listed, images, folder)
        st.success(f"{written} pictures of {len(listed)} mistakes are in {plain(str(folder))}")


def _summary(said: tuple, images: DataSet) -> str:
    predicted, _, wrong = said
    labelled, without = disputes.accuracies(predicted, images)
    text = f"**{len(wrong)} of {len(images.test.ids):,} test images misclassified** · {percent(labelled)} as labelled"
    return text + (f" · {percent(without)} without the disputed labels" if without is not None else "")


@messages.errors_explained()
def show(run: Run) -> None:
    """The matrix beside the pictures; or one image, if the address names it."""
    with st.spinner("Reading the images …"):  # shows if it takes long
        images = reading.images_of(run)
    if name := session.in_address("image"):
        if name in images.test.ids:
            why.show(
                run, images, name, session.recall("mistakes_list") or cached.wrong_images(run, images)["id"].tolist()
            )
            return
        st.warning(f"There is no test image {plain(name[:60])} in this run's data set.")
    text, controls = st.columns([3, 2], vertical_alignment="center")
    with controls:
        rule, k = _rule(run, images)
    said = cached.predicted(run, images, rule, k)
    text.markdown(_summary(said, images))
    left, right = st.columns([5, 7] if len(images.classes) <= 12 else [1, 1])
    with left:
        _matrix(said[0], images)
        if counts := notes.read(run).tag_counts():
            st.dataframe({"tag": list(counts), "images": list(counts.values())}, hide_index=True)
    with right:
        _gallery(run, images, said)


def page() -> None:
    """The run picker and the mistakes."""
    runs = [run for run in reading.all_runs() if run.result]
    run = header.pick_run(runs, key="run_on_mistakes")
    if run is None:
        messages.no_runs_yet()
    else:
        show(run)
