"""Text from elsewhere is shown as it is, whatever Markdown would make of it. In a real browser: it does the work."""

from tests.app.browser import ROOT, open_page, skip_without_browser, start_server

skip_without_browser()

TEXTS = [
    "http://evil.example/x",
    "see https://evil.example now",
    "www.evil.example",
    "a@evil.example",
    ":smile:",
    ":+1:",
    ":100:",
    ":material/home:",
    ":red[x]",
    ":blue-badge[x]",
    "$x^2$",
    "$$y$$",
    "<b>x</b>",
    "&lt;",
    "[^1] note",
    "# head",
    "- item",
    "+ item",
    "1. item",
    "2) item",
    "---",
    "===",
    "> quote",
    "`code`",
    "*a* _b_ **c** ~~d~~",
    "![x](http://evil.example/x.png)",
    "[x](http://evil.example)",
    "| a | b |",
    "a -> b <- c",
    "a -- b",
    "back\\slash",
    "12:42:11",
    "C:\\runs: no",
    "<https://evil.example>",
]
PAGE = """
import sys
sys.path.insert(0, {root!r})
import streamlit as st
from app.parts.messages import plain
for number, text in enumerate({texts!r}):
    with st.container(key=f"text{{number}}"):
        st.markdown(plain(text))
"""


def test_markdown_makes_nothing_of_it(tmp_path):
    script = tmp_path / "page.py"
    script.write_text(PAGE.format(root=str(ROOT), texts=TEXTS))
    with start_server(script) as url, open_page(url, 1280, 4000) as page:
        page.locator(f".st-key-text{len(TEXTS) - 1} p").wait_for(timeout=60_000)
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
        shown = [page.locator(f".st-key-text{number}").inner_text() for number in range(len(TEXTS))]
        assert [text.replace("\u2060", "").strip() for text in shown] == TEXTS
        made = (
            "a, img, h1, h2, ul, ol, hr, code, em, strong, del, table, blockquote, .katex, [data-testid=stIconMaterial]"
        )
        assert page.locator("[class*=st-key-text]").locator(made).count() == 0
        assert page.foreign_requests == []
