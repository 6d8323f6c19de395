"""Laws of the direct method's model of the rays, and of every map that is recovered.

What the fit makes of rays is compared with truths in tests/test_inverse_direct.py and others.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forward.settings import Effects
from inverse.direct_fit import Problem, State
from inverse.grids import graded_grid
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.refine import Status
from inverse.strips import strip_projector
from phantoms.particle import Particle
from tests.gradient_particle import small
from tests.test_inverse_direct import bell_shapes
from tests.test_inverse_direct_in_view import in_view
from validation.experiment import ParticleList
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan

SINGLE = float(np.finfo(np.float32).eps)
REACH_UM = 9.0
MAPS = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced",
)  # fmt: skip


def problem_at(angles_rad, *, n_offsets=17, parallax_per_um=0.0, axis_um=0.0) -> Problem:
    grid = graded_grid(n_offsets, step_um=1.0, rings=((1, REACH_UM),))
    margin = max(0, grid.margin)
    side = n_offsets + 2 * margin
    projector = strip_projector(
        grid, angles_rad=angles_rad, n_offsets=n_offsets, step_um=1.0, beam_fwhm_um=1.0,
        axis_offset_um=axis_um,
    )  # fmt: skip
    return Problem(
        projector=projector, shapes=bell_shapes(),
        measured=np.zeros((len(angles_rad), n_offsets, 16), np.float32),
        parallax_per_um=parallax_per_um,
        image_index=(grid.low + margin) * side + grid.left + margin, side=side, workers=1,
    )  # fmt: skip


any_parallax = st.floats(0.0, 3e-5)


@st.composite
def problems(draw, *, parallax=any_parallax):
    """Any angles, in any order, any window and axis."""
    n_angles = draw(st.integers(1, 12))
    rng = np.random.Generator(np.random.Philox(draw(st.integers(0, 99))))
    return problem_at(
        rng.uniform(-4.0, 4.0, n_angles), n_offsets=draw(st.integers(9, 20)),
        parallax_per_um=draw(parallax), axis_um=draw(st.floats(-2.0, 2.0)),
    )  # fmt: skip


def drawn(problem, seed):
    """Amounts of any sign, lattice parameters on the whole of the curve that parallax leaves."""
    rng = np.random.Generator(np.random.Philox(seed))
    n_pixels = problem.projector.grid.x_um.size
    return State(rng.uniform(-1.0, 1.0, n_pixels), rng.uniform(8.19, 8.23, n_pixels))


def rounding(problem, *amounts):
    """Of sums over a ray: of no more than 4 pixels for each µm of its path, the sum of weights."""
    path_um = 2.0 * REACH_UM + problem.projector.n_offsets
    return 4.0 * path_um * SINGLE * path_um * sum(float(np.abs(each).max()) for each in amounts)


@given(problem=problems(), seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
       a=st.floats(-3.0, 3.0), b=st.floats(-3.0, 3.0))  # fmt: skip
def test_what_pixels_show_is_linear_in_their_amounts(problem, seeds, a, b):
    # Law: at given lattice parameters, with parallax and whatever the axis.
    first, second = (drawn(problem, seed) for seed in seeds)
    second = replace(second, a_A=first.a_A)
    together = problem.shown(replace(first, amount=a * first.amount + b * second.amount))
    apart = a * problem.shown(first) + b * problem.shown(second)
    atol = 2 * rounding(problem, a * first.amount, b * second.amount)
    np.testing.assert_allclose(together, apart, rtol=0.0, atol=atol)


@given(problem=problems(), seed=st.integers(0, 99), n_turns=st.integers(1, 3))
def test_a_sample_turned_by_quarters_is_a_scan_begun_later(problem, seed, n_turns):
    # Law: pixels fall on pixels; f(x, y), turned by a quarter, is f(y, −x). With parallax too: what
    # is nearer to the detector stays nearer when sample and scan turn together.
    state = drawn(problem, seed)
    rays = problem.projector.rays[0]
    later = problem_at(
        np.arctan2(rays[:, 1], rays[:, 0]) + 0.5 * np.pi * n_turns,
        n_offsets=problem.projector.n_offsets, parallax_per_um=problem.parallax_per_um,
        axis_um=problem.projector.axis_offset_um,
    )  # fmt: skip

    def turned(values):
        image = np.rot90(problem.image(values, empty=np.nan), k=-n_turns)
        return image.reshape(-1)[problem.image_index]

    other = State(turned(state.amount), turned(state.a_A))
    assert np.all(np.isfinite(other.amount))
    assert np.any(other.amount != state.amount)
    atol = 2 * rounding(problem, state.amount)
    np.testing.assert_allclose(later.shown(other), problem.shown(state), rtol=0.0, atol=atol)


@given(problem=problems(parallax=st.just(0.0)), seed=st.integers(0, 99))
def test_without_parallax_it_looks_the_same_from_behind(problem, seed):
    # Law: mirrored about the axis.
    state = drawn(problem, seed)
    rays = problem.projector.rays[0]
    behind = problem_at(
        np.arctan2(rays[:, 1], rays[:, 0]) + np.pi, n_offsets=problem.projector.n_offsets,
        axis_um=-problem.projector.axis_offset_um,
    )  # fmt: skip
    atol = 2 * rounding(problem, state.amount)
    shown = behind.shown(state)[:, ::-1]
    np.testing.assert_allclose(shown, problem.shown(state), rtol=0.0, atol=atol)


METHODS = {
    "fbp": {},
    "refine first": {"reconstruction": {"order": "refine-first"}},
    "compressed": {"reconstruction": {"compress": True}},
    "cgls": {"reconstruction": {"method": "cgls", "iterations": 4}},
    "sirt": {"reconstruction": {"method": "sirt", "iterations": 4}},
    "poisson": {"reconstruction": {"method": "poisson", "iterations": 4}},
    "direct": {"reconstruction": {"method": "direct"}, "direct": {"n_iterations": 6}},
}


def experiment_of(draw):
    """A particle in view or at its end, of few or many photons, or without noise."""
    distance, direction = draw(st.floats(0.0, 9.0)), draw(st.floats(0.0, 6.3))
    particle = Particle(
        centre_um=(distance * np.cos(direction), distance * np.sin(direction), 0.0),
        diameter_um=draw(st.floats(4.0, 14.0)), x=draw(st.floats(0.85, 0.99)),
    )  # fmt: skip
    return small(
        sample=ParticleList(particles=(particle,)),
        scan=Scan(n_offsets=draw(st.integers(15, 19)), step_um=1.0, n_angles=24),
        beam=Beam(flux_per_s=10.0 ** draw(st.floats(8.0, 11.0))),
        geometry=Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        effects=Effects(noise=draw(st.booleans()), grains=False),
        recipe=Recipe(n_background=3, min_volume_fraction=draw(st.sampled_from([0.0, 0.05]))),
        seed=draw(st.integers(1, 99)),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::inverse.reach.ReachWarning")
@settings(max_examples=4)
@given(data=st.data())
def test_voxels_have_a_result_with_its_uncertainty_or_a_status_that_says_why_not(method, data):
    # Definition.
    raw = simulate(experiment_of(data.draw)).raw
    recipe = Recipe.model_validate(Recipe.model_validate(raw.recipe).model_dump() | METHODS[method])
    try:
        maps = recover(raw, recipe=recipe)
    except InputError as error:
        told = ("no pixel was refined", "direct.reach_um")
        if method == "direct" and any(reason in str(error) for reason in told):
            return
        raise
    refined = maps.status == Status.CONVERGED
    assert set(np.unique(maps.status)) <= {float(status) for status in Status}
    for name in MAPS:
        np.testing.assert_array_equal(np.isfinite(getattr(maps, name)), refined, err_msg=name)


def test_a_pixel_without_amount_holds_no_material():
    # Definition, where the recipe sets no least amount: amounts end at zero, exactly, and nothing
    # has no lattice parameter.
    raw = in_view().raw
    asked = METHODS["direct"] | {"min_volume_fraction": 0.0}
    maps = recover(
        raw, recipe=Recipe.model_validate(Recipe.model_validate(raw.recipe).model_dump() | asked)
    )
    refined = maps.status == Status.CONVERGED
    assert np.any(maps.status == Status.NO_MATERIAL)
    assert np.all(maps.volume_fraction[refined] > 0.0)
    assert np.all(np.isfinite(maps.a_esd_total_A[refined]))
