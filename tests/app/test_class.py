"""A shared lab on a real server: what each role sees in a browser, and what forged messages on the websocket reach."""

import re
import shutil
import time
import urllib.request
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app import access
from app.views import classroom
from core import experiment
from core.classroom import codes
from core.classroom.codes import NAME_COOKIE, ROLE_COOKIE
from core.classroom.roles import Role
from core.runs import store, writing
from core.runs.store import Run
from tests.app.browser import open_page, skip_without_browser, start_dashboard

PATIENCE = 60.0  # seconds for one answer


class Client:
    """A browser's websocket, without the browser: it can say what no page would."""

    def __init__(self, socket):
        self.socket = socket

    @classmethod
    @contextmanager
    def at(cls, url: str, cookies: dict[str, str]):
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        address = url.replace("http", "ws", 1) + "/_stcore/stream"
        headers = {"Cookie": cookie}
        with connect(
            address, origin=url, subprotocols=["streamlit"], max_size=None, additional_headers=headers
        ) as socket:
            yield cls(socket)

    def see(self, page: str, run: str, *pressed: str) -> str:
        """All that the page holds, as text, after these buttons were pressed, drawn or not."""
        message = BackMsg()
        message.rerun_script.query_string = f"run={run}"
        message.rerun_script.page_name = page
        for button in pressed:
            message.rerun_script.widget_states.widgets.add(id=button, trigger_value=True)
        self.socket.send(message.SerializeToString())
        seen = []
        while True:
            answer = ForwardMsg.FromString(self.socket.recv(timeout=PATIENCE))
            seen.append(str(answer))
            if answer.WhichOneof("type") == "script_finished":
                return "\n".join(seen)

    def buttons(self, page: str, run: str) -> dict[str, str]:
        """The ids of the buttons of a page by their keys."""
        return {each.rsplit("-", 1)[1]: each for each in re.findall(r'"(\$\$ID-[\w-]+)"', self.see(page, run))}


@pytest.fixture(scope="module")
def shared(digits, tiny, tmp_path_factory):
    """(address, folder of runs) of a shared lab with an interrupted run of Anna's."""
    home = tmp_path_factory.mktemp("class")
    runs = home / "runs"
    writing.create(tiny, digits, runs, "hers", owner="Anna").close()
    for name in ("Anna", "Bob"):
        codes.read(runs)
        codes.take_name(runs, name)
    where = ("--data", digits.folder, "--runs", runs)
    with start_dashboard("--share", *where, env={"TRIPLETLAB_UPLOADS": home / "up"}) as url:
        yield url, runs


def cookies(runs, role: Role | None, name: str = "") -> dict[str, str]:
    group = codes.read(runs)
    found = {ROLE_COOKIE: group.role_ticket(role)} if role else {}
    return found | ({NAME_COOKIE: group.name_ticket(name)} if name else {})


def annas(runs) -> Run:
    return next(run for run in store.list_runs(runs) if run.name == "hers")


def test_forged_messages_of_others_do_nothing(shared):
    """What Anna's page can press, pressed by others although their pages do not draw it."""
    url, runs = shared
    run = annas(runs)
    with Client.at(url, cookies(runs, Role.STUDENT, "Anna")) as anna:
        hers = anna.buttons("train", run.id)
    assert {"start", "resume", "again"} <= set(hers)
    for whose, may_begin in (({}, False), (cookies(runs, Role.STUDENT, "Bob"), True)):
        with Client.at(url, whose) as client:
            drawn = client.buttons("train", run.id)
            assert "resume" not in drawn
            assert ("again" in drawn) == may_begin
            client.see("train", run.id, hers["resume"])
            if not may_begin:
                client.see("train", run.id, hers["again"])
                client.see("train", run.id, hers["start"])  # drawn, but disabled
        assert [each.id for each in store.list_runs(runs)] == [run.id]
        assert store.read(run.folder).status == "interrupted"


def test_the_owner_does_what_others_cannot(shared):
    url, runs = shared
    run = annas(runs)
    with Client.at(url, cookies(runs, Role.STUDENT, "Anna")) as client:
        hers = client.buttons("train", run.id)
        client.see("train", run.id, hers["resume"])
        end = time.monotonic() + PATIENCE
        while store.read(run.folder).status != "done":
            assert time.monotonic() < end, store.read(run.folder)
            time.sleep(0.02)
        client.see("train", run.id)
        client.see("train", run.id, hers["again"])
    mine = [each for each in store.list_runs(runs) if each.id != run.id]
    assert [each.owner for each in mine] == ["Anna"]


def test_a_download_knows_who_asks_and_outlives_the_drawings_of_others(shared, digits, tiny):
    url, runs = shared
    with writing.create(tiny, digits, runs, owner="Anna") as writer:
        for _ in experiment.run(writer, digits):
            pass
    asked = BackMsg()
    with Client.at(url, cookies(runs, Role.STUDENT, "Anna")) as client:
        seen = client.see("train", writer.folder.name)
        button = seen[seen.index("-download_checkpoint") :]
        asked.backend_operation_request.deferred_file.file_id = re.search(r'deferred_file_id: "(\w+)"', button)[1]
        asked.backend_operation_request.session_id = re.search(r'session_id: "([\w-]+)"', seen)[1]
        client.socket.send(asked.SerializeToString())
        answers = (ForwardMsg.FromString(client.socket.recv(timeout=PATIENCE)) for _ in range(1000))
        answer = next(each for each in answers if each.WhichOneof("type") == "backend_operation_response")
        address = url + answer.backend_operation_response.deferred_file.url
        with Client.at(url, cookies(runs, Role.STUDENT, "Bob")) as other:
            other.see("runs", "")
            other.see("runs", "")
        cookie = "; ".join(f"{name}={value}" for name, value in cookies(runs, Role.STUDENT, "Anna").items())
        fetched = urllib.request.Request(address, headers={"Cookie": cookie})
        with urllib.request.urlopen(fetched, timeout=PATIENCE) as file:
            assert file.read() == (writer.folder / "last.pt").read_bytes()
    shutil.rmtree(writer.folder)


def test_uploads_need_a_code(shared):
    url, _ = shared
    asked = urllib.request.Request(f"{url}/_stcore/upload_file/a/b", data=b"x" * 10, method="PUT")
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=PATIENCE)
    assert refused.value.code == 403
    assert b"enter the class code" in refused.value.read()


def test_a_forged_cookie_is_that_of_a_viewer(shared):
    url, _ = shared
    with Client.at(url, {ROLE_COOKIE: "teacher"}) as client:
        assert "You look on." in client.see("", "")


def test_nobody_without_a_code_where_viewers_are_not_let_in(digits, tmp_path):
    with start_dashboard("--share", "--viewers", "none", "--data", digits.folder, "--runs", tmp_path) as url:
        with pytest.raises(InvalidStatus), Client.at(url, {}):
            pass
        with Client.at(url, cookies(tmp_path, Role.STUDENT)) as student:
            assert "Your name is missing" in student.see("", "")
            codes.new_codes(tmp_path)  # an open page loses its rights at once
            assert "What to do first" not in student.see("", "")


def test_a_class_goes_in_through_the_page(shared):
    """In a real browser: code, name, Home; the code is in no address. The teacher sees the QR code."""
    skip_without_browser()
    url, runs = shared
    group = codes.read(runs)
    with open_page(f"{url}/enter?code={group.class_code}", 390, 844) as page:
        page.wait_for_selector("#name", timeout=PATIENCE * 1000)
        assert page.url == f"{url}/enter"
        page.fill("#name", "Cleo")
        page.click("button")
        page.get_by_text("You are Cleo.").wait_for(timeout=PATIENCE * 1000)
        page.go_back()
        assert group.class_code not in page.url
        page.goto(f"{url}/class")
        page.get_by_text(codes.spelled(group.class_code)).wait_for(timeout=PATIENCE * 1000)
        assert page.get_by_role("button", name="Pause everybody").count() == 0
        assert not page.console_errors
        assert not page.foreign_requests
    with open_page(f"{url}/enter?code={group.teacher_code}") as page:
        page.get_by_text("You are the teacher.").wait_for(timeout=PATIENCE * 1000)
        assert page.url.startswith(f"{url}/")
        assert "code" not in page.url
        page.goto(f"{url}/class")
        page.get_by_role("button", name="Pause everybody").wait_for(timeout=PATIENCE * 1000)
        assert group.teacher_code not in page.content()
        page.get_by_alt_text("QR code of the page's address with the class code").wait_for()
    assert access.shared() is False  # that was another process


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ("https://lab.example.org/class", "https://lab.example.org"),
        ("http://192.168.1.7:8501/class", "http://192.168.1.7:8501"),
        ("http://127.0.0.1:8501/class", "http://192.168.1.7:8501"),
        ("http://localhost:8501/class", "http://192.168.1.7:8501"),
        (None, "http://192.168.1.7:8501"),
    ],
)
def test_the_class_is_sent_to_where_others_reach_the_lab(seen, told, monkeypatch):
    monkeypatch.setenv(access.ADDRESS, "http://192.168.1.7:8501")
    assert classroom.address_for_others(seen) == told
