"""What surrounds mutation testing: its command, which mutants are tried, how survivors are told."""

import shlex
import tomllib
from pathlib import Path

from mutation.run import (
    HERE,
    KNOWN,
    Survivor,
    _annotations,
    _before_keywords,
    _config,
    _inside,
    _survivor,
    known_survivors,
)

ROOT = Path(__file__).parent.parent


def test_the_command_keeps_its_words():
    # Law: what a shell splits is what was joined; "not slow" is one word.
    command = ["/a b/python", "-m", "pytest", "-m", "not slow", "tests/test_x.py"]
    read = tomllib.loads(_config("xrdct/conversion.py", command))["cosmic-ray"]
    assert shlex.split(read["test-command"]) == command
    assert read["module-path"] == "xrdct/conversion.py"


def test_modules_and_their_tests_are_there():
    for module, tests in tomllib.loads((HERE / "tests.toml").read_text("utf-8")).items():
        assert (ROOT / module).is_file(), module
        assert tests
        assert all((ROOT / test).is_file() for test in tests), tests


def test_annotations_are_not_tried():
    source = "def f(a: int | None) -> float | None:\n    b: int | str = a | 1\n    return b\n"
    spans = _annotations(source)
    places = [(1, source.index("|")), (1, source.index("| None:")), (2, 11)]
    assert all(_inside(place, spans) for place in places)
    assert not _inside((2, 21), spans)  # a | 1 is run
    signature = "def f(a, *, b): return a * b"
    assert _before_keywords((1, 9), signature)
    assert not _before_keywords((1, signature.index("* b")), signature)


def test_a_survivor_that_is_explained_is_known_again():
    diff = "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n a = 1\n-    b = a + 1\n+    b = a - 1\n"
    survivor = _survivor("x.py", diff)
    assert survivor == Survivor("x.py", "b = a + 1", "b = a - 1")
    assert known_survivors(f"# List\n\n{survivor.line()}: b is not used.\n") == {survivor}


def test_the_list_of_survivors_can_be_read():
    text = KNOWN.read_text("utf-8")
    entries = sum(line.startswith("- `") for line in text.splitlines())
    assert len(known_survivors(text)) == entries
