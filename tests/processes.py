"""Real processes for tests, forked from one that has imported what the lab needs: PyTorch alone takes seconds.

That one never computes anything itself, so that its children may; it ends with the tests. What is tested is a process
of its own all the same: it gets signals, dies, and leaves its files behind.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
SMALL = {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}  # read when libraries are imported: nothing here is large
_PAUSE = "TRIPLETLAB_TESTS_PAUSE"
SLOW_STEPS = {_PAUSE: "0.01"}  # where a run is looked at: it leaves the processor to the browser
IMPORTED = [
    "tests.small",
    "pytest", "core.experiment", "core.commands", "core.control", "core.evaluation", "torch._dynamo", "umap", "segno",
    "streamlit", "uvicorn", "starlette.middleware", "plotly.graph_objects", "pyarrow", "sklearn.neighbors",
    "tests.frozen",
]  # fmt: skip


@cache
def _mother():
    """The way to the process that all others are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    first = context.Process(target=_nothing)
    _start(first)
    first.join()  # the imports are done
    return context


def _nothing() -> None:
    pass


def _start(process) -> None:
    """A child first runs the script of its parent: where a test has just drawn a page, that of the page. Here none."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = before


class Child:
    """`python -m module arguments` as a process, with the part of subprocess.Popen that tests need.

    Its `stderr` is a stream. together: standard error goes where standard output goes.
    """

    def __init__(
        self, module: str, *arguments, env: dict[str, str] | None = None, together: bool = False, cwd: Path = ROOT
    ):
        number, out = tempfile.mkstemp(prefix="tripletlab-child-")
        os.close(number)
        self._out = Path(out)
        heard, told = (None, None) if together else _mother().Pipe(duplex=False)
        variables = dict(os.environ) | (env or {})
        work = (module, [*map(str, arguments)], variables, str(cwd), str(self._out), told)
        self._process = _mother().Process(target=_run, args=work, daemon=True)
        _start(self._process)
        self.pid = self._process.pid
        self.stderr = None
        if not together:
            told.close()  # here; at the end of the child nobody can write any more
            self.stderr = os.fdopen(os.dup(heard.fileno()), encoding="utf-8", errors="replace")
            heard.close()

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def said(self) -> str:
        """Its standard output so far."""
        return self._out.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it, if it has not ended, and forgets what it said."""
        self.send_signal(signal.SIGKILL)
        self._process.join()
        if self.stderr:
            self.stderr.close()
        self._out.unlink(missing_ok=True)

    def wait(self, timeout: float = 120) -> int:
        """Waits for its end. Raises TimeoutError."""
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"still running after {timeout} seconds:\n{self.said()}")
        return self.returncode

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Waits for its end; (standard output, the rest of standard error)."""
        told = self.stderr.read() if self.stderr else ""
        self.wait(timeout)
        return self.said(), told


def _run(module: str, arguments: list[str], variables: dict[str, str], cwd: str, out: str, told) -> None:
    """In the child: becomes `python -m module arguments`."""
    multiprocessing.current_process()._config["daemon"] = False  # it may have children
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    output = os.open(out, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(told.fileno() if told else output, 2)
    if told:
        told.close()
    sys.stdout, sys.stderr = (open(number, "w", closefd=False, buffering=1) for number in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _PAUSE in os.environ:
        _be_slow(float(os.environ[_PAUSE]))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _be_slow(seconds: float) -> None:
    """Trains as a slower computer does: a step takes so many seconds longer, in which the processor is free."""
    from core.learning import loop

    learn = loop.learn

    def slowly(*what):
        time.sleep(seconds)
        return learn(*what)

    loop.learn = slowly
