"""Who may talk to the server: nobody who is not on a page of the lab itself, and nothing leaves the machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError

import pytest

from app.__main__ import main
from app.guard import Guard
from core.runs import store
from tests.app.browser import MAIN, ROOT, free_port, start_server
from tests.processes import SMALL

RECORDER = """
import socket, sys, os
def _note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        text = repr(arguments[1:] if event in ("socket.connect", "socket.sendto") else arguments)
        if not any(own in text for own in ("127.0.0.1", "localhost", "'::1'", "0.0.0.0")):
            with open(os.environ["LEAKS"], "a") as file:
                file.write(f"{event} {text}\\n")
sys.addaudithook(_note)
"""


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


@pytest.mark.parametrize("form", ["app", "streamlit run"])
def test_a_real_server_refuses_foreign_pages_and_nothing_leaves_the_machine(lab, tmp_path, form):
    port = free_port()
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(RECORDER)
    leaks = tmp_path / "leaks"
    proxy = "http://127.0.0.1:9"  # whatever would ask the internet ends here and is noted by its name
    env = {"PYTHONPATH": f"{hook}{os.pathsep}{ROOT}", "LEAKS": str(leaks), "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    env |= SMALL
    app = [sys.executable, "-m", "app", "--no-browser", "--port", str(port)]
    with start_server(MAIN, port=port, command=app if form == "app" else None, env=env) as url:
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


def test_a_whole_run_asks_nobody(lab, digits, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    leaks = tmp_path / "leaks"
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "LEAKS": str(leaks)}
    settings = ["epochs=1", "triplets=40", "width=8"]
    command = [sys.executable, "-m", "core", "train", "quick", "--json", "--data", str(digits.folder)]
    command += [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert json.loads(done.stdout)["status"] == "done", done.stderr
    assert not leaks.exists()


def test_the_recorder_notes_what_leaves(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    env = os.environ | {"PYTHONPATH": str(tmp_path), "LEAKS": str(tmp_path / "leaks")}
    code = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('lab.invalid', 80)"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
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
        done = subprocess.run(
            [sys.executable, "-m", "app", "--no-browser", "--port", str(port)], cwd=ROOT, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: port {port} cannot be used (Address already in use); choose another one with --port"
    )


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signal")
def test_a_closed_terminal_saves_the_run_of_the_command_line_which_asked_nobody(lab, digits, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    leaks = tmp_path / "leaks"
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "LEAKS": str(leaks)}
    command = [sys.executable, "-m", "core", "train", "quick", "--data", str(digits.folder)]
    command += ["--set", "epochs=500", "--set", "width=8"]
    run = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in run.stderr:
            if line.startswith("epoch 1/"):
                break
        run.send_signal(signal.SIGHUP)
        run.communicate(timeout=120)
    finally:
        run.kill()
        run.communicate()
    (found,) = store.list_runs(lab)
    assert (run.returncode, found.status) == (130, "interrupted")
    assert (found.folder / "last.pt").exists()
    assert not leaks.exists()
