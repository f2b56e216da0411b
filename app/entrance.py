"""The entrance of a shared lab, /enter: codes become cookies, students choose their names; everything else asks them.

It stands before Streamlit, so that uploads and the websocket are asked as well. A code is never in an answer, and an
address that holds one answers with a page that leads away from it: a cookie that is SameSite=Strict does not travel
with a redirect from a page elsewhere.
"""

import html
import time
from collections import deque
from http.cookies import SimpleCookie
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from app import access, uploading
from core import places
from core.classroom import codes
from core.classroom.roles import Actor, NotAllowed, Role
from core.runs.files import StoreError

PATH = "/enter"
OPEN = (PATH, "/_stcore/health")
MOST_TRIES, WINDOW = 10, 60.0  # wrong codes of an address in so many seconds
MOST_ADDRESSES = 10_000  # remembered
LONGEST_FORM = 4096  # bytes
LANDS_ON = "/"
PAGE = Path(__file__).with_name("entrance.html")
HEADERS = {"cache-control": "no-store", "referrer-policy": "same-origin"}  # without one a form has no Origin
HEADERS |= {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}


class Tries:
    """Counts the wrong codes of each address."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._wrong: dict[str, deque[float]] = {}

    def pause(self, address: str) -> float:
        """Seconds until the address may try again; 0 if it may now."""
        wrong = self._wrong.get(address, ())
        now = self._clock()
        while wrong and wrong[0] <= now - WINDOW:
            wrong.popleft()
        return wrong[0] + WINDOW - now if len(wrong) >= MOST_TRIES else 0.0

    def note(self, address: str) -> None:
        """A wrong code came from the address."""
        if address not in self._wrong and len(self._wrong) >= MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        self._wrong.setdefault(address, deque(maxlen=MOST_TRIES)).append(self._clock())


class Entrance:
    """ASGI middleware: answers /enter, and keeps out who may not come in or may not upload."""

    def __init__(self, app):
        self._app = app
        self._tries = Tries()
        self._uploads = uploading.Gate()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif scope["path"] == PATH and scope["type"] == "http":
            await (await self._answer(Request(scope, receive)))(scope, receive, send)
        elif (refusal := _refusal(scope)) is None:
            await self._through(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008, "reason": "enter the code at /enter"})
        else:
            await refusal(scope, receive, send)

    async def _through(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(uploading.PATH):
            refused = await self._uploads.through(self._app, scope, receive, send, access.of(_cookies(scope)))
            if refused:
                status, why = refused
                await PlainTextResponse(f"{status}: {why}\n", status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            if request.method == "POST":
                return await self._posted(request)
            if "code" in request.query_params:
                return self._tried(request, request.query_params["code"], _leading_away)
            return page(access.of(request.cookies))
        except StoreError as error:
            return page(None, str(error), 500)

    async def _posted(self, request: Request) -> Response:
        if not 0 < _number(request.headers.get("content-length")) <= LONGEST_FORM:
            return page(None, "this form is too long", 413)
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return page(None, "this is not the form of this page", 415)
        form = await request.form()
        if "leave" in form:
            return _without_cookies(_seen_other(PATH))
        if "name" in form:
            return self._named(request, str(form["name"]))
        return self._tried(request, str(form.get("code", "")), _seen_other)

    def _tried(self, request: Request, code: str, lead) -> Response:
        """What somebody with this code gets; `lead` makes the answer that leads to another address."""
        address = request.client.host if request.client else ""
        if wait := self._tries.pause(address):
            said = f"{MOST_TRIES} wrong codes came from your computer. Try again in {wait:.0f} seconds"
            return page(access.of({}), said, 429, {"retry-after": f"{wait:.0f}"})
        group = codes.read(places.runs_folder())
        role = group.role_of(code)
        if role is None:
            self._tries.note(address)
            return page(access.of({}), "this is not a code of this class; ask your teacher for it", 403)
        known = group.actor({**request.cookies, codes.ROLE_COOKIE: group.role_ticket(role)})
        response = lead(LANDS_ON if known.takes_part else PATH)
        return _with_cookie(request, response, codes.ROLE_COOKIE, group.role_ticket(role))

    def _named(self, request: Request, name: str) -> Response:
        actor = access.of(request.cookies)
        if actor.role != Role.STUDENT:
            return page(actor, "enter the class code first", 403)
        if actor.name:
            return page(actor, "you have a name already; it is chosen once", 403)
        try:
            name = codes.checked_student(name)
            group = codes.take_name(places.runs_folder(), name)
        except NotAllowed as refused:
            return page(actor, str(refused), 403)
        return _with_cookie(request, _seen_other(LANDS_ON), codes.NAME_COOKIE, group.name_ticket(name))


def _refusal(scope) -> Response | None:
    """What somebody gets who may not have this; None if they may."""
    path = scope["path"]
    if path in OPEN:
        return None
    actor = access.of(_cookies(scope))
    if not actor.may_look() or (path == LANDS_ON and actor.role == Role.STUDENT and not actor.name):
        is_page = scope.get("method") == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
        return _seen_other(PATH) if is_page else PlainTextResponse("403: enter the code at /enter\n", 403)
    if path.startswith(uploading.PATH) and not actor.takes_part:  # before any of it is read
        return PlainTextResponse("403: you look on; enter the class code at /enter to upload\n", 403)
    return None


def _cookies(scope) -> dict[str, str]:
    cookie = Headers(scope=scope).get("cookie", "")
    return {name: morsel.value for name, morsel in SimpleCookie(cookie).items()} if cookie else {}


def page(actor: Actor | None, problem: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The page at /enter for somebody; `problem` says what went wrong. Without an actor it asks for a code."""
    parts = {
        "problem": f'<p class="problem" role="alert">{html.escape(problem[:1].upper() + problem[1:])}.</p>'
        * bool(problem)
    }
    if actor and actor.takes_part:
        who = f"You are {html.escape(actor.name)}" if actor.name else "You are the teacher"
        field = f'<p>{who}.</p><p><a class="button" href="/">To the lab</a></p>'
        field += '<p><button class="quiet" name="leave" value="1">Leave this class on this computer</button></p>'
    elif actor and actor.role == Role.STUDENT:
        field = '<label for="name">Choose your name</label>'
        field += (
            f'<input id="name" name="name" maxlength="{codes.LONGEST_STUDENT}" autocomplete="off" autofocus required>'
        )
        field += "<p>Your runs carry it, and the class sees it. It is chosen once.</p><button>Go in</button>"
    else:
        field = '<label for="code">Class code</label>'
        field += (
            '<input id="code" name="code" maxlength="60" autocomplete="off" autocapitalize="none" autofocus required>'
        )
        field += "<p>Eight letters and digits, on the board or from your teacher.</p><button>Enter</button>"
        if access.shared() and actor and actor.may_look():
            field += '<p><a href="/">Only look on</a></p>'
    text = PAGE.read_text(encoding="utf-8")
    for name, value in (parts | {"field": field}).items():
        text = text.replace(f"<!-- {name} -->", value)
    return HTMLResponse(text, status, HEADERS | (headers or {}))


def _seen_other(address: str) -> Response:
    return RedirectResponse(address, 303, HEADERS)


def _leading_away(address: str) -> Response:
    """A page that leads to another address at once, and takes its own place in the browser's history."""
    text = f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><title>TripletLab</title>'
    return HTMLResponse(text, headers=HEADERS | {"referrer-policy": "no-referrer"})


def _with_cookie(request: Request, response: Response, name: str, ticket: str) -> Response:
    safe = request.url.scheme == "https"
    response.set_cookie(name, ticket, codes.TICKET_SECONDS, path="/", secure=safe, httponly=True, samesite="strict")
    return response


def _without_cookies(response: Response) -> Response:
    """Forgets the role; the name stays, for when the code is entered again."""
    response.delete_cookie(codes.ROLE_COOKIE, path="/", httponly=True, samesite="strict")
    return response


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else 0
