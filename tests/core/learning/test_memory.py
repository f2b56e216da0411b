"""That freed memory is kept while a run needs it and given back afterwards, seen in a process of its own."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

# What a training does: tensors of feature maps' size, again and again
CODE = """
import json, resource, sys, numpy, torch
from core.learning import memory

def new_pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        numpy.ones(8 * 2**20)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    pages = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return pages / 1024  # MiB

torch.zeros(1)
plain = new_pages(10)
memory.keep()
new_pages(1)
kept, held = min(new_pages(10) for _ in range(5)), resident()  # a small tensor between two may cost one try its place
memory.give_back()
print(json.dumps({"plain": plain, "kept": kept, "held": held, "after": resident()}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to keep or to give back without glibc")
def test_freed_tensors_are_used_again_and_given_back_at_the_end():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert seen["kept"] < seen["plain"] / 10
    assert seen["after"] < seen["held"] - 50
