"""What tests of the pages without a browser share."""

import json
import re

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from app import navigation
from tests.app.conftest import ROOT

PAGES = [name for name in navigation.PAGES if name != "class"]  # that of the class only where it shares the lab


def open_page(page: str, run: str = "", **address: str) -> AppTest:
    """A page, and with the id of a run, or anything else, its address."""
    app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=180)
    for name, value in (({"run": run} if run else {}) | address).items():
        app.query_params[name] = value
    app.run()
    if page != PAGES[0]:
        go(app, page)
    assert not app.exception
    return app


def go(app: AppTest, page: str) -> AppTest:
    """Changes to another page. AppTest.switch_page knows only pages that are files."""
    app._page_hash = calc_hash("" if page == PAGES[0] else page)
    return app.run()


def texts(app: AppTest) -> str:
    """All that is written on the page, without the labels of widgets and the signs that guard text from Markdown."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.success, app.title, app.subheader)
    html = [element.proto.body for element in app.get("html")]
    drawn = [json.loads(element.proto.json or "{}") for element in app.get("bidi_component")]
    html += [part["html"] for board in drawn for part in board.get("parts", ())]  # of a board
    written = "\n".join(element.value for kind in kinds for element in kind)
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written) + "\n" + "\n".join(html)
