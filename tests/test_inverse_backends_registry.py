"""Backends are found by entry point, and one that is broken harms no other."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from inverse.backends.registry import GROUP, check_method, find_backend, listed_backends
from xrdct.errors import InputError

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions, of a name and entry points each, for the test."""

    def install(**distributions):
        for name, points in distributions.items():
            folder = tmp_path / f"{name}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            lines = [f"[{GROUP}]", *(f"{key} = {value}" for key, value in points)]
            (folder / "entry_points.txt").write_text("\n".join(lines))
        # Only what the test installs: this project's own metadata may lie on the path as well.
        monkeypatch.setattr("sys.path", [str(tmp_path)])

    return install


OWN = ("own", "inverse.backends.own:OwnBackend")


def test_what_the_project_declares_loads():
    """Definition: the entry points of pyproject.toml are backends of the names they give."""
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
    assert set(declared) == {"own", "tomopy", "astra", "algotom", "scikit-image"}
    for name, value in declared.items():
        backend = EntryPoint(name=name, value=value, group=GROUP).load()()
        assert backend.name == name
        assert backend.methods


def test_backends_of_others_are_found(installed):
    installed(xrdct_twin=[OWN], another=[("a", "inverse.backends.skimage:SkimageBackend")])
    assert [one.name for one in listed_backends()] == ["own", "a"]
    assert find_backend("a").methods == ("fbp", "sart")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("no_such_module:Backend", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("inverse.backends.own:Absent", "AttributeError: .*Absent"),
        ("builtins:divmod", "TypeError: .*"),
        ("builtins:dict", "it has no name, methods, install, version, reconstruct"),
    ],
)
def test_a_broken_one_is_told_and_harms_no_other(installed, value, error):
    installed(xrdct_twin=[OWN], another=[("broken", value)])
    own, broken = listed_backends()
    assert own.backend is not None
    assert broken.backend is None
    with pytest.raises(InputError, match=error):
        find_backend("broken")
    assert find_backend("own").name == "own"


def test_a_name_belongs_to_this_project_first(installed):
    installed(a_rival=[("own", "inverse.backends.skimage:SkimageBackend")], xrdct_twin=[OWN])
    first, second = listed_backends()
    assert first.backend is not None
    assert first.backend.methods == ("fbp",)
    assert second.error == "the name own is taken"


def test_an_unknown_name_is_refused_with_those_there_are(installed):
    installed(xrdct_twin=[OWN])
    with pytest.raises(
        InputError, match=r"backend must be one of those installed \(own\), not 'x'"
    ):
        find_backend("x")


def test_a_method_is_one_that_the_backend_offers(installed):
    installed(another=[("a", "inverse.backends.skimage:SkimageBackend")])
    for method in ("fbp", "sart"):
        check_method("a", method=method)
    with pytest.raises(InputError, match=r"'a' offers \(fbp, sart; .*\), not 'sirt'"):
        check_method("a", method="sirt")
