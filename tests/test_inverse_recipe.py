"""Recipes: defaults that change nothing, combinations that cannot be, and the examples."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from inverse.recipe import Recipe
from validation.experiment import load_experiment, load_recipe
from xrdct.errors import InputError

EXAMPLES = Path(__file__).parent.parent / "examples"


def recipe(**sections):
    return Recipe.model_validate(sections)


def test_a_recipe_without_steps_is_plain_back_projection():
    # Law: what was written before the steps could be chosen means what it meant.
    old = {"n_background": 7, "reconstruction": {"filter": "hann", "padding": "zero"}}
    assert recipe(**old).is_plain
    assert Recipe() == Recipe.model_validate(Recipe().model_dump(mode="json"))
    assert Recipe().is_plain
    assert Recipe().helpful_scans == ()


@pytest.mark.parametrize(
    "sections",
    [
        {"sinogram": {"regrid": True}},
        {"sinogram": {"rotation_axis": "find"}},
        {"sinogram": {"rotation_axis": 0.0}},
        {"sinogram": {"zingers_sigma": 6.0}},
        {"sinogram": {"stripes": "gains"}},
        {"sinogram": {"absorption": True}},
        {"truncation": {"method": "coarse"}},
        {"truncation": {"method": "complete"}},
        {"truncation": {"air": True}},
        {"reconstruction": {"method": "cgls"}},
        {"reconstruction": {"method": "direct"}},
        {"reconstruction": {"method": "joint"}},
        {"reconstruction": {"backend": "scikit-image"}},
        {"reconstruction": {"compress": True}},
        {"reconstruction": {"order": "refine-first"}},
    ],
)
def test_any_step_needs_a_sinogram(sections):
    assert not recipe(**sections).is_plain


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({"sinogram": {"drift_terms": 1}}, "drift_terms .1. need rotation_axis = 'find'"),
        ({"sinogram": {"axis_search_um": 5.0}}, "axis_search_um .5. is for rotation_axis = 'find'"),
        ({"truncation": {"use_broad": True}}, "use_broad needs a method that uses"),
        ({"reconstruction": {"method": "cgls", "backend": "astra"}}, "is our own alone"),
        ({"reconstruction": {"padding": "zero", "backend": "astra"}}, "is for backend = 'own'"),
        ({"reconstruction": {"iterations": 9}}, "iterations .9. are for iterative methods"),
        ({"reconstruction": {"method": "direct", "iterations": 9}}, "not 'direct'"),
        ({"reconstruction": {"method": "joint", "iterations": 9}}, "not 'joint'"),
        ({"reconstruction": {"method": "joint", "backend": "astra"}}, "is our own alone"),
        ({"reconstruction": {"method": "joint", "order": "refine-first"}}, "need a linear method"),
        ({"joint": {"smoothing_um": 0.0}}, "smoothing_um"),
        ({"joint": {"outer_pixel_steps": 0}}, "outer_pixel_steps"),
        ({"reconstruction": {"method": "poisson", "compress": True}}, "need a linear method"),
        ({"reconstruction": {"method": "direct", "order": "refine-first"}}, "need a linear method"),
        (
            {"reconstruction": {"method": "direct"}, "truncation": {"method": "coarse"}},
            "truncation.method must be 'none', not 'coarse'",
        ),
        (
            {"reconstruction": {"method": "joint"}, "truncation": {"method": "complete"}},
            "method = 'joint' explains what lies outside",
        ),
        (
            {"reconstruction": {"method": "sirt"}, "truncation": {"method": "complete"}},
            "give truncation.width_um",
        ),
        (
            {"reconstruction": {"method": "poisson"}, "truncation": {"air": True}},
            "needs counts of which nothing was subtracted",
        ),
    ],
)
def test_what_cannot_be_is_refused(sections, rule):
    with pytest.raises(ValidationError, match=rule):
        recipe(**sections)


def test_scans_that_a_recipe_needs_or_likes():
    coarse = recipe(truncation={"method": "coarse"})
    assert (coarse.needed_scans, coarse.helpful_scans) == (("coarse",), ("coarse",))
    both = recipe(truncation={"method": "coarse", "use_broad": True})
    assert both.needed_scans == ("coarse", "broad")
    assert recipe(truncation={"method": "complete", "use_broad": True}).needed_scans == ("broad",)
    for sections in (
        {"truncation": {"air": True}},
        {"sinogram": {"absorption": True}},
        {"reconstruction": {"method": "direct"}},
        {"reconstruction": {"method": "joint"}},
    ):
        wide = recipe(**sections)
        assert (wide.needed_scans, wide.helpful_scans) == ((), ("coarse", "broad"))


def test_the_examples_are_recipes_for_the_study():
    # Truth: the same knowledge of phases, background and integration as in roi.toml; the steps are
    # those of the study's Methods.
    stored = load_experiment(EXAMPLES / "roi.toml").recipe
    for name in ("paper", "best"):
        own = load_recipe(EXAMPLES / "recipes" / f"{name}.toml")
        for field in ("phase", "fixed_phases", "n_background", "integration", "calibration"):
            assert getattr(own, field) == getattr(stored, field)
        assert (own.sinogram.regrid, own.sinogram.rotation_axis) == (True, "find")
    paper = load_recipe(EXAMPLES / "recipes" / "paper.toml")
    assert paper.needed_scans == ("coarse", "broad")
    assert (paper.truncation.air, paper.truncation.parallax) == (True, True)
    made = paper.reconstruction
    assert (made.method, made.filter, made.padding) == ("fbp", "ramp", "zero")
    best = load_recipe(EXAMPLES / "recipes" / "best.toml")
    assert best.reconstruction.method == "direct"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sinogram]\nregrid = 1\n", "sinogram.regrid must be true or false"),
        ("[sinogram]\nrotation_axis = 'left'\n", "sinogram.rotation_axis"),
        ("[truncation]\nmethod = 'crude'\n", "truncation.method"),
        ("[truncation]\nmethods = 'none'\n", "unknown key truncation.methods"),
        ("[sinogram]\ndrift_terms = 1\n", "drift_terms .1. need rotation_axis"),
        (
            "[reconstruction]\nmethod = 'direct'\n[truncation]\nmethod = 'coarse'\n",
            "explains what lies outside the view by itself",
        ),
    ],
)
def test_files_are_refused_in_one_sentence(text, told, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    assert "recipe.toml" in str(caught.value)
