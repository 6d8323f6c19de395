"""The tables of docs/validation.md: markers, and sections from what they simulate to the page."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import bounds, validation_document
from benchmarks.document_markers import content_of, names_in, with_content
from benchmarks.document_pipelines import (
    SELFTEST_HEADER,
    planted_verdicts,
    selftest_row,
)
from benchmarks.document_predictions import plan_cases, summed
from benchmarks.validation_document import (
    COMMAND,
    DOCUMENT,
    SECTIONS,
    Section,
    complaints,
    main,
    write_section,
)
from tests.gradient_particle import small
from validation.batch.vary import all_varied
from validation.plan.grid import grid_of
from validation.planted import PLANTED
from validation.selftest.run import Bench
from validation.selftest.verdict import failed, passed
from xrdct.errors import InputError

TABLE = "| a |\n|---|"


def page(*names, content="old\n"):
    parts = [
        f"<!-- begin {n}: made by {COMMAND} {n} -->\n{content}<!-- end {n} -->\n" for n in names
    ]
    return "# Title\n\nBy hand, 1 < 2.\n" + "\nBetween.\n\n".join(parts) + "\nThe end.\n"


# Markers


def test_only_what_is_between_the_markers_changes():
    # Definition: all lines but those between keep their place, byte by byte; twice is once.
    before = page("one", "two")
    after = with_content(before, "two", f"{TABLE}\n\n")
    assert content_of(after, "two") == TABLE
    assert content_of(after, "one") == "old"
    assert after.replace(TABLE, "old") == before
    assert with_content(after, "two", TABLE) == after
    assert with_content(page("one", content=""), "one", "old") == page("one")
    assert names_in(after) == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "one marker 'begin one' in a line of its own, not 0"),
        (page("one", "one"), "one marker 'begin one' in a line of its own, not 2"),
        (page("one").replace("<!-- end one -->", ""), "one marker 'end one'.* not 0"),
        (page("one") + "<!-- end one -->\n", "one marker 'end one'.* not 2"),
        (" " + page("one")[page("one").index("<!--") :], "begin one"),
        ("<!-- end one -->\n" + page("one").replace("<!-- end one -->\n", ""), "stands before"),
    ],
)
def test_wrong_markers_are_one_sentence(text, told):
    with pytest.raises(InputError, match=told) as caught:
        with_content(text, "one", TABLE)
    assert str(caught.value).count(". ") == 0


def test_content_cannot_bring_markers_along():
    with pytest.raises(InputError, match="holds a marker itself"):
        with_content(page("one"), "one", "<!-- end one -->")


# The document


def test_the_document_has_all_parts_with_the_columns_that_their_sections_make():
    # What no one has made yet is told by --check, and is no mistake of the document.
    found = complaints(DOCUMENT.read_text(encoding="utf-8"), list(SECTIONS))
    assert [sentence for sentence in found if " is empty: " not in sentence] == []


def test_check_tells_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(page("bounds", "scale", "other").replace("old", TABLE))
    assert main(["--check", "--sections", "bounds,budget", "--document", str(path)]) == 1
    told = capsys.readouterr().out
    assert "the table of bounds has other columns" in told
    assert "one marker 'begin budget'" in told
    assert "a part 'other' that no section makes" in told
    good = page("scale", content=SECTIONS["scale"].header + "\n| a | 1 | yes | 1 s |\n")
    path.write_text(good)
    assert main(["--check", "--sections", "scale", "--document", str(path)]) == 0
    path.write_text(good.replace("made by", "made by another"))
    assert main(["--check", "--sections", "scale", "--document", str(path)]) == 1


def test_help_says_what_takes_long(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    assert "more than a minute" in told
    for name in SECTIONS:
        assert re.search(rf"^    {name} .+: .*minute", told, re.MULTILINE)


def test_unknown_sections_are_told(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--sections", "nothing"])
    assert left.value.code == 2
    assert "--sections are bounds, budget" in capsys.readouterr().err


def test_nothing_is_made_where_markers_are_wrong(tmp_path):
    made = []
    section = Section(lambda *_: made.append(1) or TABLE, TABLE)
    path = tmp_path / "page.md"
    path.write_text(page("one", "one"))
    with pytest.raises(InputError, match="not 2"):
        write_section("one", path, folder=tmp_path, sections={"one": section})
    assert made == []
    assert path.read_text() == page("one", "one")


def test_prose_that_changes_meanwhile_is_kept(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(page("one"))

    def make(_folder, document, _workers):
        document.write_text(page("one") + "More.\n")
        return TABLE

    write_section("one", path, folder=tmp_path, sections={"one": Section(make, TABLE)})
    assert path.read_text() == with_content(page("one"), "one", TABLE) + "More.\n"
    assert [each.name for each in tmp_path.iterdir()] == ["page.md"]


def test_times_of_interrupted_attempts_add_up(tmp_path):
    # Law: the sum is never less than its parts, and an attempt that ends early is one of them.
    path = tmp_path / "times.json"

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        summed(path, interrupted)
    (first,) = json.loads(path.read_text()).values()
    made, clock_s, cpu_s = summed(path, lambda: "made")
    assert made == "made"
    assert (clock_s, cpu_s) >= tuple(first)
    path.write_text(json.dumps({"other code": [1e6, 1e6]}))
    assert summed(path, lambda: None)[1] < 1e6


# Sections


def test_a_section_from_simulation_to_page(tmp_path, monkeypatch):
    # The smallest scan there is of the table's, whose row must say what `benchmarks.bounds` says.
    monkeypatch.setattr(bounds, "cases", lambda: iter([("small", small())]))
    monkeypatch.setattr(bounds, "SEEDS", (411,))
    path = tmp_path / "page.md"
    path.write_text(page("bounds"))
    arguments = ["--sections", "bounds", "--document", str(path), "--folder", str(tmp_path / "out")]
    assert main(arguments) == 0
    found = content_of(path.read_text(), "bounds")
    assert found == f"{bounds.HEADER}\n{bounds.row(1, 'small', small(), (411,))}"
    assert validation_document.main([*arguments[:4], "--check"]) == 0


def test_scans_that_are_refused_are_told_below_the_table(monkeypatch):
    trimmed = small().recipe.integration.model_copy(update={"method": "trimmed_5_5"})
    recipe = small().recipe.model_copy(update={"integration": trimmed})
    dark = small(recipe=recipe, scan=small().scan.model_copy(update={"exposure_s": 1e-5}))
    monkeypatch.setattr(bounds, "cases", lambda: iter([("dark", dark)]))
    found = SECTIONS["bounds"].make(Path(), Path(), None)
    assert found.startswith(bounds.HEADER)
    assert "Row 1, dark, is refused: of " in found


def test_rows_of_the_self_test():
    lattice = failed("lattice parameters", "1e-4 | too large", named="lattice_scale")
    good = passed("monitor", "0.01")
    columns = SELFTEST_HEADER.splitlines()[0].count("|")
    for name, verdicts, words in (
        ("lattice_scale", [good, lattice], "| yes | lattice parameters | 1e-4 \\| too large |"),
        ("axis", [good, lattice], "✗ not named"),
        ("axis", [good], "✗ no |"),
        ("", [good, good], "| — | | 2 checks passed |"),
        ("", [good, lattice], "✗ false alarm"),
    ):
        row = selftest_row(name, verdicts)
        assert words in row
        assert row.replace("\\|", "").count("|") == columns


def test_plans_are_of_three_samples_and_seeds_that_nothing_was_tuned_on():
    found = [(name, experiment.seed) for name, experiment, *_ in plan_cases()]
    expected = [(name, seed) for name in ("particle", "electrode") for seed in (601, 602, 603)]
    assert found == [*expected, *(("window", seed) for seed in (605, 606, 607))]
    for _, experiment, keys, _ in plan_cases():
        assert len(grid_of(experiment, all_varied(list(keys))).points) >= 4


@pytest.mark.slow
def test_a_planted_mistake_is_in_the_table(tmp_path):
    found = planted_verdicts("axis", Bench(tmp_path), only=PLANTED["axis"][1])
    assert "| yes | rotation axis |" in selftest_row("axis", found)


@pytest.mark.slow
def test_places_give_the_same_figures(tmp_path):
    pytest.importorskip("distributed")
    made = SECTIONS["scale"].make(tmp_path, tmp_path / "page.md", None)
    assert made.count("| yes |") == 2
    assert "✗" not in made
