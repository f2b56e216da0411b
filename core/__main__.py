"""The command line: python -m core COMMAND. The commands are in core/commands/."""

import json
import sys

from core.commands import Commands, Wrong, silence
from core.commands.training import INTERRUPTED
from core.dataset.loader import DataError
from core.runs.files import StoreError
from core.settings.setting import ConfigError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for a failure, 2 for wrong use, 130 for a run ended by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a redirected one may have the encoding of an old console
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        options = Commands().parse(sys.argv[1:] if arguments is None else arguments)
        result, status = options.command(options)
        if options.json:
            print(json.dumps(result))
        print(end="", flush=True)
    except BrokenPipeError:  # whoever was to read it has ended, as `| head` does
        silence(sys.stdout)
        return 1
    except (ConfigError, Wrong) as error:
        return _fail(error, 2)
    except (DataError, StoreError, OSError, RuntimeError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return status


def _fail(error: Exception | str, status: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
