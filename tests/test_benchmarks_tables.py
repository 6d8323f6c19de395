"""The tables of docs/accuracy.md and docs/reconstruction.md are replaced, and nothing else."""

import pytest

from benchmarks import accuracy, reconstruction_accuracy
from benchmarks.document_markers import content_of, names_in, with_content
from benchmarks.methods import METHODS
from benchmarks.reconstruction_accuracy import Case
from tests.gradient_particle import small

TABLES = pytest.mark.parametrize("made", [accuracy, reconstruction_accuracy])
SEED = 411


@pytest.fixture
def cheap(monkeypatch):
    """One case, seed and method in place of those that take hours."""
    monkeypatch.setattr(accuracy, "cases", lambda: iter([("small", small(), (SEED,))]))
    monkeypatch.setattr(reconstruction_accuracy, "cases", lambda _n: {"small": Case(small())})
    monkeypatch.setattr(reconstruction_accuracy, "SEEDS", (SEED,))
    few = {"FBP": METHODS["FBP"]}
    monkeypatch.setattr(reconstruction_accuracy, "METHODS", few)


def page(made, content="old"):
    name = made.PART
    return (
        f"# By hand\n\n<!-- begin {name}: made by it -->\n{content}\n<!-- end {name} -->\n\nEnd.\n"
    )


@TABLES
def test_documents_have_the_columns_that_are_made_and_prose_below(made):
    # Definition: a run would put other rows under the same columns and keep all else.
    text = made.DOCUMENT.read_text(encoding="utf-8")
    assert names_in(text) == [made.PART]
    content = content_of(text, made.PART)
    assert content.startswith(f"{made.HEADER}\n| ")
    assert {line.count("|") for line in content.splitlines()} == {made.HEADER.count("|") // 2}
    assert text.split("-->")[-1].strip()


@TABLES
@pytest.mark.usefixtures("cheap")
def test_the_table_alone_is_replaced_by_what_is_printed(made, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(page(made))
    assert made.main(["--document", str(path)]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    rows = printed.removeprefix(made.HEADER).strip().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| small"] * 2
    assert path.read_text() == with_content(page(made), made.PART, printed)
    assert content_of(path.read_text(), made.PART) == printed


@pytest.mark.usefixtures("cheap")
def test_rows_go_nowhere_else_unless_asked_for(monkeypatch, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(page(reconstruction_accuracy))
    monkeypatch.setattr(reconstruction_accuracy, "DOCUMENT", path)
    monkeypatch.setattr(reconstruction_accuracy, "measure", lambda *_: iter(["| row |"]))
    assert reconstruction_accuracy.main(["--cases", "small"]) == 0
    assert capsys.readouterr().out == f"{reconstruction_accuracy.HEADER}\n| row |\n"
    assert path.read_text() == page(reconstruction_accuracy)


@TABLES
def test_nothing_is_made_where_markers_are_wrong(made, monkeypatch, tmp_path, capsys):
    def never(*_):
        raise AssertionError("measured")

    monkeypatch.setattr(made, "simulate", never)
    path = tmp_path / "page.md"
    path.write_text("# By hand\n")
    assert made.main(["--document", str(path)]) == 2
    assert f"one marker 'begin {made.PART}'" in capsys.readouterr().err
    assert path.read_text() == "# By hand\n"


@pytest.mark.parametrize("part", [["--cases", "bare"], ["--methods", "FBP"], ["--seeds", "1"]])
def test_a_part_does_not_take_the_place_of_the_whole_table(part, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(page(reconstruction_accuracy))
    with pytest.raises(SystemExit) as left:
        reconstruction_accuracy.main([*part, "--document", str(path)])
    assert left.value.code == 2
    assert "other rows would be lost" in capsys.readouterr().err
    assert path.read_text() == page(reconstruction_accuracy)
