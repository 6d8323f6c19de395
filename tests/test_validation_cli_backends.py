"""The listing of backends tells what is there and how to get what is not."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from inverse.backends.own import OwnBackend
from inverse.backends.registry import Listed
from inverse.backends.tomopy import TomopyBackend
from validation.cli_backends import backends


class Rude:
    name, methods, install = "rude", ("x", "y"), "nothing"

    def version(self):
        raise RuntimeError("not\ntoday")


@pytest.fixture
def output(monkeypatch):
    """What the command prints, line by line."""

    def run(*listed):
        monkeypatch.setattr("inverse.backends.registry.listed_backends", lambda: list(listed))
        app = typer.Typer()
        app.command()(backends)
        result = CliRunner().invoke(app)
        assert result.exit_code == 0
        return result.stdout.splitlines()

    return run


def test_every_backend_has_its_line(output, monkeypatch):
    """Definition: a version, the command that installs what is missing, or the error."""
    monkeypatch.setitem(sys.modules, "tomopy", None)
    lines = output(
        Listed("own", OwnBackend(), ""),
        Listed("tomopy", TomopyBackend(), ""),
        Listed("rude", Rude(), ""),
        Listed("broken", None, "ImportError: no"),
    )
    assert [line.split()[0] for line in lines] == ["backend", "own", "tomopy", "rude", "broken"]
    assert OwnBackend().version() in lines[1]
    assert "gridrec, sirt" in lines[2]
    assert "conda install -c conda-forge tomopy" in lines[2]
    assert lines[3].endswith("does not load: RuntimeError: not today")
    assert lines[4].endswith("does not load: ImportError: no")
    assert (
        len(
            {
                line.index(state)
                for line, state in zip(lines[:2], ("version", OwnBackend().version()), strict=True)
            }
        )
        == 1
    )


def test_what_is_installed_here_is_listed(monkeypatch):
    """The real listing runs, whatever is installed."""
    app = typer.Typer()
    app.command()(backends)
    result = CliRunner().invoke(app)
    assert result.exit_code == 0
    assert result.stdout.startswith("backend")
