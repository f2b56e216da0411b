"""`python -m app` where a process may open 256 files and no more: see test_disconnected.py."""

import resource
import sys

from app.__main__ import main

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    sys.exit(main())
