"""Who may talk to the server: nobody who is not on a page of the lab itself, and nothing leaves the machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from app.__main__ import main
from app.guard import Guard
from core.runs import store
from tests.app.browser import MAIN, ROOT, SERVER_OPTIONS, forked, free_port, start_process
from tests.processes import SMALL, Child

PROXY = "http://127.0.0.1:9"  # whatever would ask the internet ends here


def request(host: str, origin: str = "", server: str = "127.0.0.1", hosts=()) -> str:
    headers = [(b"host", host.encode())] + [(b"origin", origin.encode())] * bool(origin)
    return Guard(None, hosts).refusal({"headers": headers, "server": (server, 8501)})


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8501", ""),
        ("127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("localhost:8501", "http://localhost:8501"),
        ("LOCALHOST:8501", "http://localhost:8501"),
        ("[::1]:8501", "http://[::1]:8501"),
        ("localhost:9000", "http://localhost:9000"),  # through a tunnel
    ],
)
def test_the_labs_own_pages_are_served(host, origin):
    assert request(host, origin) == ""


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8501", "http://evil.example:8501"),
        ("evil.example:8501", ""),
        ("localhost:8501", "http://localhost:9999"),
        ("localhost:8501", "http://127.0.0.1:8501.evil.example"),
        ("127.0.0.1:8501", "null"),
        ("127.0.0.1.evil.example:8501", ""),
        ("localhost@evil.example", ""),
        ("evil.example#localhost", ""),
        ("192.168.1.5:8501", "http://192.168.1.5:8501"),
        ("", ""),
        ("localhost:x", ""),
    ],
)
def test_others_are_refused(host, origin):
    assert request(host, origin)


def test_a_shared_lab_is_reached_at_its_address_and_at_names_that_are_allowed():
    assert request("192.168.1.5:8501", "http://192.168.1.5:8501", server="192.168.1.5") == ""
    assert request("192.168.1.6:8501", server="192.168.1.5")
    assert request("Lab.example", "https://lab.example", hosts=["lab.example"]) == ""
    assert request("127.0.0.1:8501", "https://lab.example", hosts=["lab.example"]) == ""
    assert request("other.example", hosts=["lab.example"])


def upgrade(port: int, host: str, origin: str) -> str:
    """The status line of a websocket's opening."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        lines = ["GET /_stcore/stream HTTP/1.1", f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
        lines += [f"Origin: {origin}"] * bool(origin)
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection.recv(200).decode("latin-1").split("\r\n")[0]


@pytest.fixture
def leaks(tmp_path) -> Path:
    """Where a process that is watched notes whom it asks elsewhere."""
    return tmp_path / "leaks"


def watched(leaks: Path) -> dict[str, str]:
    """Its variables: whatever would ask the internet asks a proxy, and is noted by its name."""
    return {"LEAKS": str(leaks), "HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY}


@pytest.mark.parametrize("form", ["app", "streamlit run"])
def test_a_real_server_refuses_foreign_pages_and_nothing_leaves_the_machine(lab, leaks, form):
    """The one that imports everything while it is watched, and Streamlit's own way to begin."""
    port = free_port()
    words = ["app", "--no-browser", "--port", port]
    if form == "app":
        env = watched(leaks) | SMALL
        server = start_process([sys.executable, "-m", "tests.recorder", *map(str, words)], port, env)
    else:
        words = ["streamlit", "run", MAIN, f"--server.port={port}", *SERVER_OPTIONS]
        server = forked("tests.recorder", *words, port=port, env=watched(leaks))
    with server as url:
        for _ in range(5):
            assert "403" in upgrade(port, f"127.0.0.1:{port}", "http://evil.example")
        assert "403" in upgrade(port, f"evil.example:{port}", f"http://evil.example:{port}")
        assert "403" in upgrade(port, f"localhost:{port}", "http://localhost:9999")
        assert "101" in upgrade(port, f"localhost:{port}", f"http://localhost:{port}")
        assert "101" in upgrade(port, f"127.0.0.1:{port}", "")
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(url, headers={"Host": "evil.example"}), timeout=30)
        for path in ("/", "/_stcore/health", "/train"):
            with urllib.request.urlopen(url + path, timeout=30) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
                assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert not leaks.exists() or leaks.read_text() == ""


def test_a_whole_run_asks_nobody(lab, digits, leaks):
    settings = ["epochs=1", "triplets=40", "width=8"]
    words = ["core", "train", "quick", "--json", "--data", digits.folder]
    words += [part for setting in settings for part in ("--set", setting)]
    run = Child("tests.recorder", *words, env=watched(leaks))
    try:
        said, told = run.communicate()
    finally:
        run.kill()
    assert json.loads(said)["status"] == "done", told
    assert not leaks.exists()


def test_the_recorder_notes_what_leaves(tmp_path):
    (tmp_path / "asks.py").write_text(
        "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('lab.invalid', 80)"
    )
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "LEAKS": str(tmp_path / "leaks")}
    subprocess.run([sys.executable, "-m", "tests.recorder", "asks"], env=env, check=True)
    assert "lab.invalid" in (tmp_path / "leaks").read_text()


@pytest.mark.parametrize("port", ["80000", "0", "x", "-1"])
def test_a_port_that_is_none_is_refused_in_words(port, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app", "--port", port])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "is no port" in said or "expected one argument" in said


def test_a_busy_port_is_refused_in_one_line(lab):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        server = Child("app", "--no-browser", "--port", port)
        try:
            _, told = server.communicate()
        finally:
            server.kill()
    assert server.returncode == 1
    assert told.strip() == f"error: port {port} cannot be used (Address already in use); choose another one with --port"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
def test_a_closed_terminal_saves_the_run_of_the_command_line_which_asked_nobody(lab, digits, leaks):
    words = ["train", "quick", "--data", digits.folder, "--set", "epochs=500", "--set", "width=8"]
    run = Child("tests.recorder", "core", *words, env=watched(leaks))
    try:
        for line in run.stderr:
            if line.startswith("epoch 1/"):
                break
        run.send_signal(signal.SIGHUP)
        run.communicate()
    finally:
        run.kill()
    (found,) = store.list_runs(lab)
    assert (run.returncode, found.status) == (130, "interrupted")
    assert (found.folder / "last.pt").exists()
    assert not leaks.exists()
