"""Who gets through which way: the buttons of a page, forged messages, uploads, addresses. The table is in
docs/classroom.md; if it is stale: python -m tests.app.test_roles
"""

import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from core.classroom import codes
from core.classroom.codes import NAME_COOKIE, ROLE_COOKIE
from core.classroom.roles import Role
from core.dataset.loader import DataSet
from core.learning.states import Request, Status
from core.runs import store, trash, writing
from core.runs.store import Run
from core.settings.config import RunConfig
from tests.app.browser import ROOT, start_dashboard

DOCUMENT = ROOT / "docs" / "classroom.md"
PATIENCE = 120.0  # seconds for one answer
SOON = 60.0
WHO = {
    "stranger": (None, "", "none"),
    "viewer": (None, "", "all"),
    "student, another's": (Role.STUDENT, "Bob", "all"),
    "student, own": (Role.STUDENT, "Anna", "all"),
    "teacher": (Role.TEACHER, "", "all"),
}


@dataclass
class Lab:
    """A shared lab on a real server, with runs of Anna's."""

    url: str
    runs: Path
    digits: DataSet
    tiny: RunConfig

    def run(self) -> Run:
        """A new interrupted run of Anna's."""
        with writing.create(self.tiny, self.digits, self.runs, owner="Anna") as writer:
            pass
        return store.read(writer.folder)

    def cookie(self, role: Role | None, name: str) -> str:
        """What the browser of somebody sends."""
        group = codes.read(self.runs)
        found = {ROLE_COOKIE: group.role_ticket(role)} if role else {}
        found |= {NAME_COOKIE: group.name_ticket(name)} if name else {}
        return "; ".join(f"{key}={value}" for key, value in found.items())


@dataclass
class Browser:
    """A websocket of somebody, which can say what no page would."""

    socket: ClientConnection
    seen: str = ""  # the page that was drawn last, as text
    buttons: dict[str, str] = field(default_factory=dict)  # ids by keys, of those that can be pressed

    def look(self, page: str, query: str, pressed: str = "") -> None:
        """Asks for a page, a button pressed or not, drawn or not."""
        message = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.page_name = page
        if pressed:
            message.rerun_script.widget_states.widgets.add(id=pressed, trigger_value=True)
        self.socket.send(message.SerializeToString())
        self.seen, self.buttons = "", {}
        while True:
            answer = ForwardMsg.FromString(self.socket.recv(timeout=PATIENCE))
            kind = answer.WhichOneof("type")
            if kind == "new_session":  # the page begins, perhaps anew
                self.seen, self.buttons = "", {}
            self.seen += str(answer)
            if kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return
            button = answer.delta.new_element.button
            if button.id and not button.disabled:
                self.buttons[button.id.split("-", 2)[2]] = button.id


@contextmanager
def browser(lab: Lab, cookie: str) -> Iterator[Browser]:
    """The browser of somebody. Raises InvalidStatus if they are not let in."""
    address = lab.url.replace("http", "ws", 1) + "/_stcore/stream"
    headers = {"Cookie": cookie}
    with connect(
        address, origin=lab.url, subprotocols=["streamlit"], max_size=None, additional_headers=headers
    ) as socket:
        yield Browser(socket)


# What can be done to a run of Anna's: page, query, key of the button, how it is seen to have happened


def begun(lab: Lab, before: set[str]) -> bool:
    """Whether there is another run; it is stopped at once."""
    new = [run for run in store.list_runs(lab.runs) if run.id not in before]
    for run in new:
        if run.active:
            store.request(run, Request.STOP)
    return bool(new)


@dataclass
class Deed:
    """Something that a button does."""

    page: str
    query: Callable[[Run], str]
    key: Callable[[Run], str]
    done: Callable[[Lab, Run, set[str]], bool]
    prepared: Callable[[Lab], Run] = Lab.run


def resumed(lab: Lab, run: Run, _) -> bool:
    """Whether the run was taken up again."""
    now = store.read(run.folder)
    if now.active:
        store.request(now, Request.STOP)
    return now.status != Status.INTERRUPTED


def thrown(lab: Lab) -> Run:
    """A run of Anna's that is in the trash."""
    run = lab.run()
    store.throw_away(run.folder)
    return run


def this(run: Run) -> str:
    return f"run={run.id}&runs={run.id}"


DEEDS = {
    "begin a run": Deed(
        "train",
        lambda run: "preset=quick&epochs=1&triplets=8",
        lambda run: "start",
        lambda lab, run, before: begun(lab, before),
    ),
    "resume": Deed("train", this, lambda run: "resume", resumed),
    "archive": Deed("runs", this, lambda run: "archive", lambda lab, run, _: store.read(run.folder).archived),
    "bring back from the trash": Deed(
        "runs",
        this,
        lambda run: f"back_{run.id}",
        lambda lab, run, _: run.folder.exists(),
        thrown,
    ),
    "delete for good": Deed(
        "runs", this, lambda run: "empty_trash", lambda lab, run, _: not trash.thrown(lab.runs), thrown
    ),
    "free a name": Deed(
        "class",
        this,
        lambda run: "free_name",
        lambda lab, run, _: "Anna" not in codes.read(lab.runs).students,
    ),
}


def tried(lab: Lab, visitor: Browser, deed: Deed, forged: bool, teacher: Browser) -> bool:
    """Whether somebody could do something: by their page's button, or with the id that the teacher's page has."""
    run = deed.prepared(lab)
    before = {each.id for each in store.list_runs(lab.runs)}
    query, key = deed.query(run), deed.key(run)
    visitor.look(deed.page, query)
    drawn = visitor.buttons.get(key, "")
    if forged:
        teacher.look(deed.page, query)
        assert key in teacher.buttons, (key, teacher.buttons)
        pressed = teacher.buttons[key]
    else:
        pressed = drawn
    if pressed:
        visitor.look(deed.page, query, pressed)
    happened = deed.done(lab, run, before)
    assert happened == bool(drawn), f"{key}: drawn {bool(drawn)}, done {happened}"
    return happened


def put(lab: Lab, cookie: str) -> bool:
    """Whether a file is let through to the page; without a session of its own the page then refuses it."""
    asked = urllib.request.Request(f"{lab.url}/_stcore/upload_file/a/b", b"x", {"Cookie": cookie}, method="PUT")
    try:
        urllib.request.urlopen(asked, timeout=PATIENCE)
    except HTTPError as error:
        return b"/enter" not in error.read()
    return True


def looks(lab: Lab, who: Browser | None) -> bool:
    """Whether the address of Anna's run shows it."""
    if who is None:
        return False
    run = lab.run()
    who.look("train", this(run))
    return run.id in who.seen and "All settings of this run" in who.seen


def column(lab: Lab, who: tuple, teacher: Browser | None) -> dict[str, str]:
    """What somebody can do, by words."""
    role, name, _ = who
    cookie = lab.cookie(role, name)
    with ExitStack() as stack:
        try:
            visitor = stack.enter_context(browser(lab, cookie))
        except InvalidStatus:
            visitor = None
        found = {"look at a run by its address": looks(lab, visitor), "upload a file": put(lab, cookie)}
        for words, deed in DEEDS.items():
            possible = False
            for forged in (False, True):
                if visitor and not possible:  # whose button does it can send the same message without the button
                    possible = tried(lab, visitor, deed, forged, teacher)
                found[f"{words}: {'forged message' if forged else 'button'}"] = possible
    return {words: "yes" if possible else "–" for words, possible in found.items()}


@contextmanager
def shared(digits: DataSet, tiny: RunConfig, home: Path, viewers: str) -> Iterator[Lab]:
    """A shared lab."""
    runs = home / "runs"
    codes.read(runs)
    for name in ("Anna", "Bob"):
        codes.take_name(runs, name)
    where = ("--data", digits.folder, "--runs", runs)
    with start_dashboard("--share", "--viewers", viewers, *where, env={"TRIPLETLAB_UPLOADS": home / "up"}) as url:
        yield Lab(url, runs, digits, tiny)


def table(digits: DataSet, tiny: RunConfig, home: Path) -> str:
    """Ways x roles, as Markdown."""
    columns = {}
    for viewers in ("none", "all"):
        with shared(digits, tiny, home / viewers, viewers) as lab, ExitStack() as stack:
            teacher = stack.enter_context(browser(lab, lab.cookie(Role.TEACHER, "")))
            for name, who in WHO.items():
                if who[2] == viewers:
                    columns[name] = column(lab, who, teacher)
    lines = [f"| | {' | '.join(WHO)} |", f"|---|{'---|' * len(WHO)}"]
    for words in columns["teacher"]:
        lines.append(f"| {words} | {' | '.join(columns[name][words] for name in WHO)} |")
    return "\n".join(lines)


def test_the_table_in_the_document_is_true(digits, tiny, tmp_path):
    found = re.search(r"<!-- ways -->\n(.*)\n<!-- end of ways -->", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found[1] == table(digits, tiny, tmp_path)


if __name__ == "__main__":
    from tests.conftest import write_digits

    small = RunConfig(blocks=(1, 1), width=8, embedding_size=8, triplets=24, batch_size=8, epochs=2, neighbours=3)
    with tempfile.TemporaryDirectory() as name:
        made = table(write_digits(Path(name) / "digits"), small, Path(name))
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = "<!-- ways -->\n", "\n<!-- end of ways -->"
    DOCUMENT.write_text(text[: text.index(begin)] + begin + made + text[text.index(end) :], encoding="utf-8")
