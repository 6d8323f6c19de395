"""What a user may write as a pipeline, and what is told where it is none."""

from pathlib import Path

import pytest

from inverse.recipe import Recipe
from validation.cli_score import duration_s
from validation.pipelines.sources import filled, read_pipeline, read_pipelines
from xrdct.errors import InputError

PAPER = Path(__file__).parent.parent / "examples" / "recipes" / "paper.toml"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def recover(scan):\n    return None\n")
    return path


def test_every_form_is_recognised_with_its_label(file):
    # Truth: the forms that the documentation lists.
    found = [
        read_pipeline("lab.chain:recover"),
        read_pipeline(f"{file}:recover"),
        read_pipeline("topas={scan}"),
        read_pipeline("python -u run_topas.py --in={scan} -o {output}"),
        read_pipeline(str(PAPER)),
        read_pipeline(f"refine={file}:fit,reconstruct=lab.chain:fbp"),
        read_pipeline("x=integrate=lab.chain:mean"),
    ]
    assert [(p.label, p.kind) for p in found] == [
        ("chain", "callable"),
        ("mine", "callable"),
        ("topas", "command"),
        ("run_topas", "command"),
        ("paper", "recipe"),
        ("refine-mine+reconstruct-chain", "partial"),
        ("x", "partial"),
    ]
    assert found[4].recipe.truncation.method == "coarse"
    assert set(found[5].stages) == {"refine", "reconstruct"}


def test_words_of_a_command_are_filled_in_without_a_shell():
    # Truth: POSIX quoting as shlex documents it; a scan named `; rm` stays one word.
    pipeline = read_pipeline("prog 'a b' --in={scan} {output} ';' $(x)")
    words = filled(pipeline.words, {"scan": "/x/; rm", "output": "o.h5"})
    assert words == ["prog", "a b", "--in=/x/; rm", "o.h5", ";", "$(x)"]
    with pytest.raises(InputError, match="no scan named coarse"):
        filled(["{coarse}"], {"scan": "s"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "a pipeline is module:function"),
        ("gone.py:recover", "does not exist"),
        ("no-module:recover", "neither a module nor a .py file"),
        ("gone.toml", "does not exist"),
        ("run {output}", "must say where it takes the {scan}"),
        ("run {scan} {truth}", "not {truth}"),
        ("run 'open {scan}", "cannot be read"),
        ("refine=a:b,refine=a:c", "replaced twice"),
        ("refine=a:b,guess=a:c", "not 'guess'"),
    ],
)
def test_what_is_no_pipeline_is_told_in_one_sentence(text, told):
    with pytest.raises(InputError) as complaint:
        read_pipeline(text)
    assert told in str(complaint.value)
    assert "\n" not in str(complaint.value)


def test_labels_must_differ_also_where_a_file_system_ignores_case():
    with pytest.raises(InputError, match="2 pipelines are called"):
        read_pipelines(["Mine=a:b", "mine=c:d"])


def test_a_fingerprint_follows_the_file_and_the_recipe_behind_a_pipeline(file, tmp_path):
    # Law: equal sources give equal fingerprints, changed ones others.
    before = read_pipeline(f"{file}:recover").fingerprint()
    assert read_pipeline(f"{file}:recover").fingerprint() == before
    file.write_text("def recover(scan):\n    return {}\n")
    assert read_pipeline(f"{file}:recover").fingerprint() != before
    recipe = tmp_path / "mine.toml"
    recipe.write_text("n_background = 3\n")
    first = read_pipeline(str(recipe))
    assert first.recipe == Recipe(n_background=3)
    recipe.write_text("n_background = 4\n")
    assert read_pipeline(str(recipe)).fingerprint() != first.fingerprint()


def test_times_are_read_in_their_units():
    assert [duration_s(text) for text in ("90", "90s", "1.5 min", "2h")] == [90, 90, 90, 7200]
    for text in ("", "0s", "-3s", "soon", "3d"):
        with pytest.raises(InputError, match="such as 90s, 30min or 2h"):
            duration_s(text)
