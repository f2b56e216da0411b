"""The gallery on the Mistakes page: the confusion matrix, whose cells open their images, and the images."""

import re

import numpy as np
import pandas as pd
import streamlit as st

from app import cached, crowd, downloads, session
from app.components import clickable
from app.drawing.pictures import png_uri
from app.parts import messages, why
from app.parts.messages import percent, plain
from core import places
from core.analysis import confusion, disputes
from core.dataset.loader import DataSet
from core.exchange import pictures
from core.exchange.tables import safe_csv
from core.runs import notes
from core.runs.store import Run

A_PAGE = 24
KINDS = ("misclassified", "classified correctly", "all")
ORDERS = {
    "order": "test set's order",
    "id": "id",
    "surest": "confidence",
    "unsure": "confidence, lowest first",
    "margin": "margin",
    "forgotten": "times forgotten",
}


def show(run: Run, images: DataSet, rule: str, k: int) -> None:
    """The matrix beside the pictures. A part of its own, so that a click draws no more than it has to."""
    crowd.fragment(messages.errors_explained()(_show))(run, images, rule, k)


def _show(run: Run, images: DataSet, rule: str, k: int) -> None:
    said = cached.predicted(run, images, rule, k)
    _forget_what_is_not_there(images)
    left, right = st.columns([5, 7] if len(images.classes) <= 12 else [1, 1])
    with left:
        st.markdown(_summary(said, images))
        _matrix(said[0], images)
    with right:
        shown = _gallery(run, images, rule, k)
    if shown:
        _table(images, *shown)


def _summary(said: tuple, images: DataSet) -> str:
    predicted, _, wrong = said
    labelled, without = disputes.accuracies(predicted, images)
    text = f"**{len(wrong)} of {len(images.test.ids):,} test images misclassified** · {percent(labelled)} as labelled"
    return text + (f" · {percent(without)} without the disputed labels" if without is not None else "")


def _forget_what_is_not_there(images: DataSet) -> None:
    """Another set may have fewer classes than the one that a filter was chosen in."""
    for key in ("mistakes_true", "mistakes_called"):
        label = session.recall(key)
        session.show(key, label if label is not None and label < len(images.classes) else None)


def _matrix(predicted: np.ndarray, images: DataSet) -> None:
    names = list(images.classes)
    counts = confusion.matrix(images.test.labels, predicted, len(names))
    st.toggle("Row %", key="mistakes_shares", persist_state="session", help="Each row in percent, not in images.")
    drawn = _cells(counts, names)
    found = [confusion.in_words(pair, names) for pair in confusion.confused(counts)]
    which = confusion.how_many_drawn(drawn, len(names))
    if found:
        st.markdown(plain("; ".join(found)) + ".")
    st.caption(f"{which}Rows: true class, columns: predicted class. Precision, recall and F1 in %.")


def _cells(counts: np.ndarray, names: list[str]) -> int:
    """Draws the most confused classes, whose cells can be clicked; returns how many are drawn."""
    drawn = confusion.most_confused(counts)
    part = counts[np.ix_(drawn, drawn)]
    totals = np.maximum(counts[drawn].sum(axis=1, keepdims=True), 1)
    shown = np.char.mod("%.0f", 100 * part / totals) if session.recall("mistakes_shares") else part.astype(str)
    place_of = {int(label): place for place, label in enumerate(drawn)}
    chosen = [place_of.get(session.recall(f"mistakes_{name}")) for name in ("true", "called")]
    here = tuple(chosen) if None not in chosen else None
    clickable.confusion(
        [names[each] for each in drawn], part.tolist(), shown.tolist(), shares(counts, drawn), here, "confusion",
        on_click=lambda cell: _filter_by(*(int(drawn[place]) for place in cell)),
    )  # fmt: skip
    return len(drawn)


def _filter_by(true: int | None, called: int | None) -> None:
    """Shows the images of one cell, or of all if that cell is clicked again."""
    if (true, called) == (session.recall("mistakes_true"), session.recall("mistakes_called")):
        true = called = None
    session.remember("mistakes_true", true)
    session.remember("mistakes_called", called)
    session.remember("mistakes_page", 1)
    if true is not None and session.recall("mistakes_kind") != KINDS[2]:
        session.remember("mistakes_kind", KINDS[true == called])


def shares(counts: np.ndarray, drawn: np.ndarray) -> list[tuple[str, list[str]]]:
    """Precision, recall and F1 in percent of the classes that are `drawn`; a dash where nothing is to be divided."""
    columns = zip(("precision", "recall", "F1"), confusion.of_classes(counts), strict=True)
    return [
        (name, ["–" if np.isnan(share) else f"{100 * share:.1f}" for share in values[drawn]])
        for name, values in columns
    ]


def rows_of(run: Run, images: DataSet, rule: str, k: int, kind: str) -> pd.DataFrame:
    """The images of a kind with their two neighbours: nearest of the true class, and of the predicted one.

    Of images classified correctly the second one is the nearest of any other class, whose number is `other`.
    """
    wrong = cached.predicted(run, images, rule, k)[2]
    parts = [wrong.assign(other=wrong["predicted"])] if kind != KINDS[1] else []
    if kind != KINDS[0]:
        right = cached.right_images(run, images, rule, k)
        parts.append(right.rename(columns=lambda name: name.replace("nearest_other", "nearest_predicted")))
    table = pd.concat(parts).sort_values("test_index", ignore_index=True)
    margin = table["nearest_predicted_distance"] - table["nearest_true_distance"]
    forgotten = cached.biographies(run, images).forgotten[table["test_index"].to_numpy(int)]
    return table.assign(margin=margin, forgotten=forgotten)


def ordered(table: pd.DataFrame, order: str) -> pd.DataFrame:
    """In one of ORDERS: numbers in an id count as numbers; the smallest margin and the most often forgotten first."""
    if order == "id":
        numbers = table["id"].map(lambda name: [int(each) if each.isdecimal() else each for each in _parts(name)])
        return table.loc[numbers.sort_values(kind="stable").index]
    columns = {"surest": ("score", False), "unsure": ("score", True), "margin": ("margin", True)}
    column, ascending = (columns | {"forgotten": ("forgotten", False)}).get(order, ("test_index", True))
    return table.sort_values(column, ascending=ascending, kind="stable")


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def filtered(table: pd.DataFrame, images: DataSet, noted: notes.Notes) -> pd.DataFrame:
    """What the chosen classes, tag and part of an id leave."""
    for key, column in (("mistakes_true", "true"), ("mistakes_called", "predicted")):
        if (label := session.recall(key)) is not None:
            table = table[table[column] == images.class_numbers[label]]
    if tag := session.recall("mistakes_tag"):
        table = table[[tag in noted.images.get(name, notes.Note()).tags for name in table["id"]]]
    if part := (session.recall("mistakes_id") or "").strip():
        table = table[table["id"].str.contains(part, regex=False)]
    return table


def _controls(images: DataSet, noted: notes.Notes) -> tuple[str, str]:
    """What to show and in which order, in one line; the filters are behind a button that counts them."""
    tags, classes = noted.tag_counts(), [None, *range(len(images.classes))]
    if session.recall("mistakes_tag") not in tags:
        session.show("mistakes_tag", None)
    active = [session.recall(f"mistakes_{name}") for name in ("true", "called", "tag", "id")]
    count = sum(each not in (None, "") for each in active)
    kind, order, more = st.columns([2, 2, 1.4], vertical_alignment="bottom")
    shown = kind.selectbox("Show", KINDS, key="mistakes_kind", label_visibility="collapsed", persist_state="session")
    chosen = order.selectbox("Sort by", ORDERS, format_func=lambda each: f"by {ORDERS[each]}", key="mistakes_order",
                             label_visibility="collapsed", persist_state="session")  # fmt: skip
    with more.popover(f"Filter · {count}" if count else "Filter", width="stretch"):
        for key, label in (("true", "True class"), ("called", "Predicted class")):
            st.selectbox(label, classes, format_func=lambda each: "any" if each is None else images.classes[each],
                         key=f"mistakes_{key}", persist_state="session", placeholder="any")  # fmt: skip
        st.selectbox("Tag", [None, *tags], format_func=lambda each: each or "any", key="mistakes_tag",
                     persist_state="session", placeholder="any")  # fmt: skip
        st.text_input("Id contains", key="mistakes_id", persist_state="session")
        st.button("Clear", on_click=session.whole(_clear), disabled=not count)
    return shown, chosen


def _clear() -> None:
    for name in ("true", "called", "tag"):
        session.remember(f"mistakes_{name}", None)
    session.remember("mistakes_id", "")


def _gallery(run: Run, images: DataSet, rule: str, k: int) -> tuple[pd.DataFrame, str] | None:
    """The images; returns their list and the name of the class that rivals the true one, if there are any."""
    noted = notes.read(run)
    kind, order = _controls(images, noted)
    table = rows_of(run, images, rule, k, kind)
    chosen = ordered(filtered(table, images, noted), order)
    session.remember("mistakes_list", chosen["id"].tolist())
    if table.empty:
        st.success("No mistakes. Is that too good to be true? Try fewer epochs, or another data set.")
    elif chosen.empty:
        st.info("No image of this kind. Clear the filter, or show all images.")
        st.button("Clear the filter", on_click=session.whole(_clear))
    else:
        other = "predicted" if kind == KINDS[0] else "another"
        _tiles(images, chosen, len(table), other)
        _below(run, images, chosen, noted)
        return chosen, other
    return None


def _tiles(images: DataSet, chosen: pd.DataFrame, every: int, other: str) -> None:
    """One page of pictures; the arrow keys turn it."""
    pages = -(-len(chosen) // A_PAGE)
    clickable.arrow_keys("turn", on_press=_turn)
    session.clamp("mistakes_page", pages)
    page = session.recall("mistakes_page")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        turned = f", page {page} of {pages}" if pages > 1 else ""
        st.caption(f"{len(chosen)} of {every} shown{turned}. Click: why?", width="content",
                   help=f"Under each picture: confidence, and d({other} class) − d(true class). "
                   "The arrow keys turn the page.")  # fmt: skip
        if pages > 1:
            st.pagination(pages, key="mistakes_page", max_visible_pages=5)
    rows = chosen.iloc[(page - 1) * A_PAGE : page * A_PAGE]
    most = float(chosen["margin"].abs().max()) or 1.0
    disputed = disputes.find(images)
    shown = [_tile(row, images, disputed, most) for row in rows.itertuples()]
    clickable.tiles(shown, "tiles", on_click=lambda place: why.open_image(rows["id"].iloc[place]), size=160)


def _turn(count: int) -> None:
    session.remember("mistakes_page", (session.recall("mistakes_page") or 1) + count)


def _tile(row, images: DataSet, disputed: dict, most: float) -> dict:
    names = images.name_of
    mark = " ⚠" * (row.test_index in disputed)
    hint = f"{row.id}: {names[row.true]} called {names[row.predicted]}. At its side the nearest {names[row.true]}, "
    hint += f"then the nearest {names[row.other]}. Bar and last number: d({names[row.other]}) − d({names[row.true]})"
    hint += f". The label is disputed: {disputed[row.test_index].said}" if mark else ""
    near = [
        (png_uri(images.train.images[index]), f"{far:.2f} · {names[label]}")
        for index, label, far in (
            (row.nearest_true_index, row.true, row.nearest_true_distance),
            (row.nearest_predicted_index, row.other, row.nearest_predicted_distance),
        )
    ]
    heading = f"{names[row.true]} → {names[row.predicted]}{mark}"
    line = f"{messages.confidence(row.score)} · {row.margin:+.2f}".replace("-", "−")
    src = png_uri(images.test.images[row.test_index])
    return clickable.tile(src, heading, line, hint, min(1.0, abs(row.margin) / most), near=near, name=row.id)


def _below(run: Run, images: DataSet, chosen: pd.DataFrame, noted: notes.Notes) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        _downloads(run, images, chosen)
    if counts := noted.tag_counts():
        st.dataframe({"tag": list(counts), "images": list(counts.values())}, hide_index=True, width="content")


def _table(images: DataSet, chosen: pd.DataFrame, other: str) -> None:
    """The list over the width of the page: its columns are many."""
    table = st.expander("As a table", key="mistakes_table", on_change="rerun")
    if table.open:
        shown = readable(chosen, images, other)
        places = {name: "%.1f" if name.endswith("%") else "%.2f" for name in shown.select_dtypes("float")}
        formats = {name: st.column_config.NumberColumn(format=each) for name, each in places.items()}
        table.dataframe(shown, hide_index=True, column_config=formats)


def readable(chosen: pd.DataFrame, images: DataSet, other: str) -> pd.DataFrame:
    """The list for people: classes by their names, the neighbours' ids and their distances."""
    names = images.name_of
    columns = {
        "id": chosen["id"],
        "true": chosen["true"].map(names),
        "predicted": chosen["predicted"].map(names),
        "confidence %": (100 * chosen["score"]).round(1),
        "nearest of the true class": chosen["nearest_true_id"],
        "d(true)": chosen["nearest_true_distance"].round(2),
        f"nearest of {'the ' * (other == 'predicted')}{other} class": chosen["nearest_predicted_id"],
        f"d({other})": chosen["nearest_predicted_distance"].round(2),
        "difference": chosen["margin"].round(2),
        "times forgotten": chosen["forgotten"],
    }
    return pd.DataFrame(columns)


def _downloads(run: Run, images: DataSet, chosen: pd.DataFrame) -> None:
    listed = chosen.drop(columns=["forgotten", "margin", "other"])
    name = f"{run.id}-mistakes"
    downloads.button("ZIP", lambda: pictures.packed(listed, images), f"{name}.zip", "application/zip",
                       help="What is filtered: three pictures an image, a list as CSV, a contact sheet.")  # fmt: skip
    downloads.button("CSV", lambda: safe_csv(chosen), f"{name}.csv", "text/csv")
    downloads.button("Contact sheet", lambda: pictures.contact_sheet(listed, images), f"{name}.png", "image/png",
                       help="All that is filtered on one picture, each with its two neighbours.")  # fmt: skip
    if st.button("Export as PNG", help="Three pictures an image, and a list as CSV, on the lab's own disk."):
        folder = places.pictures_folder() / run.id
        written = pictures.export(listed, images, folder)
        st.success(f"{written} pictures of {len(listed)} images are in {plain(str(folder))}")
