"""The lab report on the Mistakes page: the sheet's questions, a drafted analysis, and what a student hands in."""

import streamlit as st

from app import actions, crowd, downloads, reading, session
from app.parts import header, messages
from core.dataset.loader import DataSet
from core.exchange import report
from core.runs import notes
from core.runs.store import Run


def show(run: Run, images: DataSet) -> None:
    """Text fields that keep what is written, and the downloads."""
    crowd.fragment(messages.errors_explained()(_show))(run, images)


def _show(run: Run, images: DataSet) -> None:
    words, hand_in = st.columns([7, 4], gap="large")
    with words:
        _analysis(run, images)
        for question in report.QUESTIONS:
            _answered(run, question, notes.read(run).answers.get(question, ""), 90)
    with hand_in:
        _downloads(run, images)


def _analysis(run: Run, images: DataSet) -> None:
    """What the student wrote, or the draft until then."""
    kept = notes.read(run).answers.get(report.ANALYSIS)
    draft = report.first_draft(run, images)
    _answered(run, report.ANALYSIS, kept or draft, 170, unless=draft)
    with st.container(horizontal=True, vertical_alignment="center"):
        if kept:
            st.button("Draft anew", on_click=session.whole(_draft_anew), args=(run, draft),
                      help="What figures, tags and margins say now, instead of your text.")  # fmt: skip
        st.caption("Your text is kept with the run." if kept else "A draft from the figures: make it your own.")


def _draft_anew(run: Run, draft: str) -> None:
    with messages.errors_explained():
        actions.answer(run, report.ANALYSIS, "")
    session.remember(_key(run, report.ANALYSIS), draft)


def _key(run: Run, question: str) -> str:
    return f"answer_{run.id}_{question}"


def _answered(run: Run, question: str, old: str, height: int, unless: str = "") -> None:
    """A field for one answer; a draft that nobody has changed is not kept."""
    text = st.text_area(
        question, old, key=_key(run, question), height=height, max_chars=notes.LONGEST_NOTE
    )  # fmt: skip
    if text.strip() not in (old.strip(), unless.strip()):
        actions.answer(run, question, text)


def _downloads(run: Run, images: DataSet) -> None:
    called = header.names(reading.all_runs())
    others = {each.id: each for each in reading.all_runs() if each.result and each.id != run.id and not each.archived}
    added = st.multiselect("Together with", list(others), format_func=lambda each: called[each], key="report_runs",
                           max_selections=7, placeholder="other runs")  # fmt: skip
    runs = [run, *(others[each] for each in added if each in others)]

    def of_all() -> list[DataSet]:
        return [images, *(reading.images_of(each) for each in runs[1:])]

    downloads.button("Lab report (HTML)", lambda: report.page(runs, of_all()).encode(), f"{run.id}-report.html",
                       "text/html", width="stretch", help="One file, for paper as well.")  # fmt: skip
    downloads.button("All to hand in (ZIP)", lambda: report.packed(runs, of_all()), f"{run.id}-report.zip",
                       "application/zip", type="primary", width="stretch")  # fmt: skip
    st.caption("The ZIP holds the report, three pictures a mistake, a contact sheet, the tables and the settings.")
    if counts := notes.read(run).tag_counts():
        st.dataframe({"tag": list(counts), "images": list(counts.values())}, hide_index=True)
