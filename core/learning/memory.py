"""How the process deals with memory that is freed and soon needed again."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # what mallopt can be told, from glibc's malloc.h


def keep() -> None:
    """Lets the C library keep what is freed.

    By default each large feature map goes back to the system when it is freed, and is handed out again page by page,
    filled with zeros: a ResNeXt-32 spends a sixth of a step on that. Without glibc nothing is changed.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)


def give_back() -> None:
    """Gives the system what the process has kept and does not use: to be called after a run."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
