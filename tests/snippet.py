"""`python -c code arguments` as a Child of processes.py: the code is the first argument."""

import sys

if __name__ == "__main__":
    del sys.argv[0]
    exec(compile(sys.argv[0], "<snippet>", "exec"), {"__name__": "__main__"})
