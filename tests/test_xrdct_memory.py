"""Whether freed memory is kept for the next array."""

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes
from xrdct.memory import keep_freed_memory

class Told(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

library = ctypes.CDLL(None)
mallinfo = getattr(library, "mallinfo2", None)
if mallinfo is None:
    raise SystemExit(77)
mallinfo.restype, library.malloc.restype = Told, ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]

def mapped(size):
    before = mallinfo().hblks
    library.malloc(size)
    return mallinfo().hblks - before

before = mapped(2**24)
keep_freed_memory()
print(before, mapped(2**24), mapped(2**26))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of GNU alone is told")
def test_arrays_of_megabytes_come_from_the_heap():
    # Independent: the C library's own count of blocks that it asked the system for. 16 MB are such
    # a block at its defaults (128 kB), not with a limit of 32 MB; 64 MB are in either case.
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False
    )
    if told.returncode == 77:
        pytest.skip("a C library that does not tell")
    assert told.stdout.split() == ["1", "0", "1"], told.stderr
