"""The entrance of a shared lab: codes, cookies, names, and who is kept out of what."""

from urllib.parse import urlencode

import pytest

from app import access, entrance
from app.entrance import MOST_TRIES, WINDOW, Entrance, Tries
from core.classroom import codes
from core.classroom.roles import Role
from tests.app import loops

PAGE = {"accept": "text/html"}


async def inside(scope, receive, send):
    """What lies behind the entrance: answers everything, and never reads a body."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


class Browser:
    """Asks an ASGI application as a browser does: with the cookies that it was given."""

    def __init__(self, app, address="192.168.1.7"):
        self.app, self.address, self.cookies = app, address, {}

    def ask(self, path, method="GET", form=None, headers=None, kind="http"):
        """(status, headers, body); of a websocket the kind of the answer instead of the status."""
        target, _, query = path.partition("?")
        body = urlencode(form).encode() if form else b""
        given = {"host": "lab"} | ({"content-type": "application/x-www-form-urlencoded"} if form else {})
        given |= {"content-length": str(len(body))} if form else {}
        given |= (
            {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        )
        scope = {"type": kind, "path": target, "query_string": query.encode(), "client": (self.address, 1)}
        scope |= {"scheme": "http", "server": ("lab", 80)} | ({"method": method} if kind == "http" else {})
        scope["headers"] = [(k.encode(), v.encode()) for k, v in (given | (headers or {})).items()]
        sent = []

        async def receive():
            return {"type": "http.request", "body": body} if kind == "http" else {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        loops.run(self.app(scope, receive, send))
        if kind == "websocket":
            return sent[0]["type"], {}, ""
        found = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        for name, value in found:
            if name == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0].strip('"')
        return sent[0]["status"], dict(found), b"".join(each.get("body", b"") for each in sent[1:]).decode()

    def post(self, **form):
        return self.ask("/enter", "POST", form)


@pytest.fixture
def group(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPLETLAB_RUNS", str(tmp_path))
    monkeypatch.setenv(access.VARIABLE, "all")
    return codes.read(tmp_path)


@pytest.fixture
def app(group):
    return Entrance(inside)


def who(browser):
    return access.of(browser.cookies)


def test_a_code_becomes_a_cookie_and_leaves_the_address(app, group):
    browser = Browser(app)
    status, headers, body = browser.ask(f"/enter?code={group.class_code}")
    assert status == 200
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(headers["set-cookie"].split("; "))
    assert "0;url=/enter" in body
    assert group.class_code not in body + str(headers) + str(browser.cookies)
    assert who(browser).role == Role.STUDENT


def test_a_student_chooses_a_name_once(app, group):
    anna, other = Browser(app), Browser(app)
    for browser in (anna, other):
        status, headers, _ = browser.post(code=codes.spelled(group.class_code).upper())
        assert (status, headers["location"]) == (303, "/enter")
    assert anna.ask("/", headers=PAGE)[1]["location"] == "/enter"  # the lab asks for the name first
    status, headers, _ = anna.post(name="Anna")
    assert (status, headers["location"]) == (303, "/")
    assert anna.ask("/", headers=PAGE)[2] == "inside"
    assert who(anna).name == "Anna"
    status, _, body = other.post(name="anna")
    assert (status, "taken" in body) == (403, True)
    assert anna.post(name="Berta")[0] == 403
    assert who(anna).name == "Anna"


def test_who_comes_back_has_their_name_still(app, group):
    browser = Browser(app)
    browser.post(code=group.class_code)
    browser.post(name="Anna")
    browser.post(leave="1")
    assert who(browser).role == Role.VIEWER
    assert browser.post(code=group.class_code)[1]["location"] == "/"
    assert who(browser).name == "Anna"


def test_a_teacher_goes_straight_in(app, group):
    browser = Browser(app)
    assert "0;url=/'" in browser.ask(f"/enter?code={group.teacher_code}")[2].replace('"', "'")
    assert who(browser).role == Role.TEACHER


def test_a_name_needs_the_code_first(app, group):
    browser = Browser(app)
    assert browser.post(name="Anna")[0] == 403
    assert not codes.read(access.places.runs_folder()).students


def test_ten_wrong_codes_and_the_address_waits(app, group):
    browser = Browser(app)
    for _ in range(MOST_TRIES):
        assert browser.post(code="wrong")[0] == 403
    for ask in (lambda: browser.post(code=group.class_code), lambda: browser.ask(f"/enter?code={group.teacher_code}")):
        status, headers, body = ask()
        assert status == 429
        assert 0 < int(headers["retry-after"]) <= WINDOW
        assert "seconds" in body
    assert not browser.cookies
    assert Browser(app, "192.168.1.8").post(code=group.class_code)[0] == 303


def test_the_pause_ends_after_a_minute():
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(MOST_TRIES):
        assert tries.pause("a") == 0
        tries.note("a")
        now[0] += 1
    assert tries.pause("a") == pytest.approx(WINDOW - MOST_TRIES)
    now[0] = WINDOW
    assert tries.pause("a") == 0


def test_many_addresses_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(entrance, "MOST_ADDRESSES", 3)
    tries = Tries()
    for address in "abcde":
        tries.note(address)
    assert len(tries._wrong) == 3


def test_what_was_typed_is_shown_as_text_or_not_at_all(app, group):
    browser = Browser(app)
    browser.post(code=group.class_code)
    for name in ("<script>alert(1)</script>x", "--<b>"):
        assert "<script>" not in browser.post(name=name)[2].replace("&lt;script&gt;", "")
    assert "<b>" not in browser.ask("/enter")[2]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": "5000"}, 413),
        ({"content-length": "x"}, 413),
        ({"content-type": "multipart/form-data; boundary=a"}, 415),
    ],
)
def test_a_form_that_is_not_ours_is_not_read(app, headers, status):
    assert Browser(app).ask("/enter", "POST", {"code": "a"}, headers)[0] == status


@pytest.mark.parametrize("viewers", ["all", "none"])
def test_who_has_no_code(app, viewers, monkeypatch):
    monkeypatch.setenv(access.VARIABLE, viewers)
    let_in = viewers == "all"
    browser = Browser(app)
    assert browser.ask("/_stcore/health")[0] == 200
    assert browser.ask("/", headers=PAGE)[0] == (200 if let_in else 303)
    assert browser.ask("/media/abc.png")[0] == (200 if let_in else 403)
    assert browser.ask("/_stcore/stream", kind="websocket")[0] == f"websocket.{'accept' if let_in else 'close'}"
    assert browser.ask("/_stcore/upload_file/a/b", "PUT")[0] == 403
    assert browser.ask("/enter", headers=PAGE)[0] == 200
    assert ("Only look on" in browser.ask("/enter")[2]) == let_in
    wrong = browser.ask("/enter", "POST", {"code": "wrong"})
    assert (wrong[0], "Only look on" in wrong[2]) == (403, let_in)


def test_only_who_takes_part_uploads(app, group):
    browser = Browser(app)
    browser.post(code=group.class_code)
    assert browser.ask("/_stcore/upload_file/a/b", "PUT")[0] == 403
    browser.post(name="Anna")
    assert browser.ask("/_stcore/upload_file/a/b", "PUT")[0] == 411
    assert browser.ask("/_stcore/upload_file/a/b", "PUT", headers={"content-length": "10"})[0] == 200
    status, _, body = browser.ask("/_stcore/upload_file/a/b", "PUT", headers={"content-length": "70000000"})
    assert (status, "60 MB is the most in this class" in body) == (413, True)


def test_new_codes_count_at_once(app, group, tmp_path):
    browser = Browser(app)
    browser.post(code=group.teacher_code)
    codes.new_codes(tmp_path)
    assert who(browser).role == Role.VIEWER
    assert browser.ask("/_stcore/upload_file/a/b", "PUT")[0] == 403


def test_an_unreadable_class_lets_nobody_in(app, group, tmp_path):
    (tmp_path / ".class" / "class.json").write_text("{")
    browser = Browser(app)
    assert browser.ask("/", headers=PAGE)[0] == 303
    status, _, body = browser.ask("/enter?code=a")
    assert status == 500
    assert "class.json" in body


def test_a_lab_that_is_not_shared_asks_nobody(monkeypatch):
    monkeypatch.delenv(access.VARIABLE, raising=False)
    assert not access.shared()
    assert access.actor().role == Role.TEACHER
