"""What a fit with free intensities is made of, against other code, differences and full algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import nnls

from inverse.model import Instrument, chebyshev_background, draw_patterns, phase_lines
from inverse.pawley_fit import group_lines, line_slopes, pose
from inverse.pawley_linear import background_coefficients, covariance, solve, weighted
from inverse.pawley_recipe import FreePhase, Pawley, StructuredPhase
from inverse.pawley_shapes import BY_MIXING, BY_POSITION, BY_WIDTH, VALUE, line_shapes, line_widths
from inverse.profile import add_lines, total_width_and_mixing
from inverse.recipe import Calibration, Profile
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry

BEAM, GEOMETRY = Beam(), Geometry()
PROFILE = Profile(U_deg2=4e-3, W_deg2=4e-4, X_deg=0.01, Y_deg=0.003)
INSTRUMENT = Instrument(BEAM, GEOMETRY, Calibration(profile=PROFILE, distance_m=0.7003))
CUBE = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)


def drawn(position, width, mixing):
    return line_shapes(
        np.array([position]), fwhm_rad=np.array([width]), mixing=np.array([mixing]),
        first_channel_rad=0.0, channel_rad=2e-4, n_channels=300,
    )[0]  # fmt: skip


@given(position=st.floats(-0.01, 0.07), width=st.floats(2e-4, 5e-3), mixing=st.floats(0.0, 1.0))
def test_lines_are_those_of_the_inverse_sides_profile(position, width, mixing):
    # Truth: add_lines, tested on its own. The same sums in another order.
    other = np.zeros((1, 300))
    add_lines(
        other, np.zeros(1, np.int64), 0.0, 2e-4, np.array([position]), np.ones(1),
        np.array([width]), np.array([mixing]),
    )  # fmt: skip
    np.testing.assert_allclose(
        drawn(position, width, mixing)[VALUE], other[0], rtol=1e-12, atol=1e-300
    )


@given(position=st.floats(0.02, 0.04), width=st.floats(4e-4, 3e-3), mixing=st.floats(0.05, 0.95))
def test_slopes_are_those_of_the_lines(position, width, mixing):
    # Truth: central differences with a step of 1e-5 widths, right to 1e-8 of a slope's maximum.
    # Six widths from the line the average over a channel ends, and with it the slope: left out.
    here = drawn(position, width, mixing)
    distance = np.abs(2e-4 * np.arange(300) - position)
    regular = np.abs(distance - 6.0 * width - 2e-4) > 1e-3 * width
    for row, step in (
        (BY_POSITION, (1e-5 * width, 0, 0)),
        (BY_WIDTH, (0, 1e-5 * width, 0)),
        (BY_MIXING, (0, 0, 1e-5)),
    ):
        above = drawn(position + step[0], width + step[1], mixing + step[2])[VALUE]
        below = drawn(position - step[0], width - step[1], mixing - step[2])[VALUE]
        slope = (above - below) / (2.0 * max(step))
        np.testing.assert_allclose(
            here[row][regular], slope[regular], rtol=1e-6, atol=1e-8 * np.abs(here[row]).max()
        )


@given(gaussian=st.floats(1e-4, 1e-2), lorentzian=st.floats(0.0, 1e-2))
def test_widths_follow_what_they_are_made_of(gaussian, lorentzian):
    # Truth: total_width_and_mixing, tested on its own, and its central differences. Sums of
    # the same terms in another order: some 1e-16 each.
    g, lo = np.array([gaussian]), np.array([lorentzian + 1e-5])
    made = line_widths(g, lo)
    fwhm, mixing = total_width_and_mixing(g, lo)
    np.testing.assert_allclose([made.fwhm_rad[0], made.mixing[0]], [fwhm[0], mixing[0]], rtol=1e-13)
    square, step = g**2, 1e-5
    above = total_width_and_mixing(np.sqrt(square * (1 + step)), lo)
    below = total_width_and_mixing(np.sqrt(square * (1 - step)), lo)
    wide = total_width_and_mixing(g, lo * (1 + step))
    narrow = total_width_and_mixing(g, lo * (1 - step))
    for i, by_square, by_lorentzian in (
        (0, made.fwhm_by_square, made.fwhm_by_lorentzian),
        (1, made.mixing_by_square, made.mixing_by_lorentzian),
    ):
        scale = (fwhm, np.ones(1))[i]
        np.testing.assert_allclose(
            by_square * square, (above[i] - below[i]) / (2 * step), rtol=1e-6, atol=1e-9 * scale[0]
        )
        np.testing.assert_allclose(
            by_lorentzian * lo, (wide[i] - narrow[i]) / (2 * step), rtol=1e-6, atol=1e-9 * scale[0]
        )


def everything_refined():
    return Pawley(
        phases=(
            StructuredPhase(
                name="spinel", crystal="LiMn2O4", cell_start=0.998, refine_strain=True, strain=3e-4
            ),
            FreePhase(
                name="layered", space_group="C 1 2/m 1", refine_size=True,
                cell_A_deg=load_crystal("Li2MnO3").cell_A_deg,
            ),
        ),
        refine_distance=True, refine_zero=False, refine_widths=("U", "W", "X"),
    )  # fmt: skip


def test_the_pattern_follows_every_parameter():
    # Truth: central differences of the drawn pattern. Where the average over channels ends, six
    # widths from a line, it jumps by some 1e-6 of its height; over steps that move a line by a
    # thousandth of its width that is a few 1e-3 of a slope. Slopes leave out that widths change
    # with the cell: ΔΓ/Γ is of the order of Δa/a, against a shift of 2 tanθ Δa/a, at least
    # 0.03 rad · Δa/a, over a width of 4e-4 rad: 1 % of the norm.
    problem = pose(
        np.ones(1024), variance=np.ones(1024), settings=everything_refined(), instrument=INSTRUMENT
    )
    start = problem.parameters.start
    here = problem.drawn(start)
    amplitude = np.random.default_rng(0).random(here.power.size)
    slopes = line_slopes(here, amplitude * here.power)

    def pattern(values):
        drawing = problem.drawn(values)
        return (amplitude * drawing.power) @ drawing.shapes[:, VALUE]

    assert len(problem.parameters.names) == 1 + 3 + 2 + 5
    for i, name in enumerate(problem.parameters.names):
        step = np.zeros(start.size)
        step[i] = 1e-2 * problem.parameters.unit[i]
        expected = (pattern(start + step) - pattern(start - step)) / (2.0 * step[i])
        error = np.linalg.norm(slopes[i] - expected) / np.linalg.norm(expected)
        assert error < 1e-2, name


def test_structured_lines_are_the_models_pattern():
    # Truth: the pattern that inverse.model draws, of the crystal scaled as the start says.
    settings = Pawley(
        phases=(StructuredPhase(name="s", crystal="LiMn2O4", cell_start=0.99, strain=5e-4),)
    )
    problem = pose(np.ones(1024), variance=np.ones(1024), settings=settings, instrument=INSTRUMENT)
    drawing = problem.drawn(problem.parameters.start)
    lines = phase_lines([load_crystal("LiMn2O4").scaled(0.99)], beam=BEAM, geometry=GEOMETRY)
    expected = draw_patterns(lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=5e-4)
    np.testing.assert_allclose(
        group_lines(problem, drawing).shapes(drawing),
        expected,
        rtol=1e-9,
        atol=1e-9 * expected.max(),
    )


def test_powers_of_structured_lines_follow_their_own_spacing():
    # Truth: the pattern of the batched refinement, for a monoclinic cell whose a is 1 % longer and
    # c 1 % shorter, where powers by the volume alone would be off by up to 6 %. Lines differ by
    # where the mean over a channel ends, six widths away: 3e-5 of a height. And the powers' slopes
    # are their central differences.
    refined = Pawley(phases=(StructuredPhase(name="s", crystal="Li2MnO3"),))
    problem = pose(np.ones(1024), variance=np.ones(1024), settings=refined, instrument=INSTRUMENT)
    names = problem.parameters.names
    assert names == ("s:a_A", "s:b_A", "s:c_A", "s:beta_deg")
    values = problem.parameters.start * np.array([1.01, 1.0, 0.99, 1.0])
    drawing = problem.drawn(values)
    model = rietveld_model(
        Rietveld(phases=(RietveldPhase(crystal="Li2MnO3"),)), beam=BEAM, geometry=GEOMETRY,
        calibration=INSTRUMENT.calibration,
    )  # fmt: skip
    slots = model.slots.copy()
    slots[:4] = values
    expected = model.patterns(slots)[0]
    own = drawing.power @ drawing.shapes[:, VALUE]
    np.testing.assert_allclose(own, expected, atol=1e-4 * expected.max())
    for i, name in enumerate(names):
        step = np.zeros(4)
        step[i] = 1e-4 * values[i]
        sides = [np.log(problem.drawn(values + sign * step).power) for sign in (1.0, -1.0)]
        slope = (sides[0] - sides[1]) / (2.0 * step[i])
        np.testing.assert_allclose(
            drawing.slopes[3, :, i], slope, rtol=1e-4, atol=1e-4 * np.abs(slope).max(), err_msg=name
        )


def linear_problem(seed, *, n_columns=6, dependent=False):
    rng = np.random.default_rng(seed)
    shapes = np.abs(rng.normal(size=(n_columns, 80)))
    if dependent:
        shapes[-1] = shapes[0] + shapes[1]
    background = chebyshev_background(80, n_terms=3)
    variance = rng.uniform(0.5, 2.0, 80)
    truth = rng.normal(size=n_columns)
    pattern = truth @ shapes + [2.0, -1.0, 0.5] @ background + rng.normal(size=80)
    return pattern, variance, background, shapes


@given(seed=st.integers(0, 10_000))
def test_coefficients_are_those_of_non_negative_least_squares(seed):
    # Truth: scipy's non-negative solver on the whole problem, the background as a difference of two
    # non-negative parts. Some true coefficients are negative, so that the bound matters.
    pattern, variance, background, shapes = linear_problem(seed)
    data = weighted(pattern, variance=variance, background=background)
    found = solve(data, shapes)
    root = 1.0 / np.sqrt(variance)
    whole = (np.concatenate([shapes, background, -background]) * root).T
    expected, norm = nnls(whole, pattern * root, maxiter=1000)
    np.testing.assert_allclose(found.coefficients, expected[:6], atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found.residual), norm, rtol=1e-9)
    np.testing.assert_allclose(
        background_coefficients(data, found, shapes), expected[6:9] - expected[9:], atol=1e-7
    )


def test_uncertainties_are_those_of_everything_together():
    # Truth: the inverse of the whole normal matrix.
    pattern, variance, background, shapes = linear_problem(1)
    data = weighted(pattern, variance=variance, background=background)
    slopes = np.random.default_rng(2).normal(size=(2, 80))
    found = solve(data, shapes)
    parameters, coefficients = covariance(data, found, slopes, names=("p", "q"))
    whole = np.concatenate([shapes, background, slopes]) / np.sqrt(variance)
    expected = np.linalg.inv(whole @ whole.T)
    np.testing.assert_allclose(parameters, expected[-2:, -2:], rtol=1e-8)
    np.testing.assert_allclose(coefficients, expected[:6, :6], rtol=1e-8)


def test_columns_that_others_make_up_have_no_uncertainty_of_their_own():
    pattern, variance, background, shapes = linear_problem(1, dependent=True)
    data = weighted(pattern, variance=variance, background=background)
    slopes = np.random.default_rng(2).normal(size=(1, 80))
    found = solve(data, shapes)
    parameters, coefficients = covariance(data, found, slopes, names=("p",))
    assert np.isfinite(parameters).all()
    assert np.isnan(np.diag(coefficients)).sum() == 1


def test_parameters_that_others_make_up_are_named():
    pattern, variance, background, shapes = linear_problem(1)
    data = weighted(pattern, variance=variance, background=background)
    slopes = np.stack([shapes[0] - shapes[3], np.random.default_rng(2).normal(size=80)])
    with pytest.raises(InputError, match=r"^p cannot be determined"):
        covariance(data, solve(data, shapes), slopes, names=("p", "q"))


def test_channels_that_are_not_measured_have_no_say():
    # Law: whatever stands in them.
    pattern, variance, background, shapes = linear_problem(3)
    variance[10:20] = [0.0, np.nan, np.inf, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    pattern[16:20] = [np.nan, np.inf, -np.inf, np.nan]
    found = solve(weighted(pattern, variance=variance, background=background), shapes)
    kept = np.setdiff1d(np.arange(80), np.arange(10, 20))
    fewer = weighted(pattern[kept], variance=variance[kept], background=background[:, kept])
    np.testing.assert_allclose(
        found.coefficients, solve(fewer, shapes[:, kept]).coefficients, rtol=1e-9
    )


def groups_of(ratio, share_within):
    """Groups of a tetragonal phase whose c is ``ratio`` times a, and the problem's drawing."""
    phase = FreePhase(
        name="t", space_group="P 4/m m m", cell_A_deg=(4.0, 4.0, 4.0 * ratio, 90.0, 90.0, 90.0)
    )
    problem = pose(
        np.ones(1024), variance=np.ones(1024), instrument=INSTRUMENT,
        settings=Pawley(phases=(phase,), share_within=share_within),
    )  # fmt: skip
    drawing = problem.drawn(problem.parameters.start)
    return group_lines(problem, drawing), drawing


@pytest.mark.parametrize("share_within", [0.0, 0.1, 0.5, 2.0])
def test_lines_within_a_share_of_their_width_have_one_intensity(share_within):
    # Rule of the module, checked group by group: the first line of a group is nearer to the others
    # than that share of their width, and farther from the next group. Shares add up to one.
    groups, drawing = groups_of(1.002, share_within)
    order = np.argsort(drawing.position_rad)
    position, width = drawing.position_rad[order], drawing.fwhm_rad[order]
    column = groups.column[order]
    for c in range(groups.n_columns):
        own = np.flatnonzero(column == c)
        assert np.all(position[own] - position[own[0]] <= share_within * width[own])
        following = own[-1] + 1
        if following < column.size:
            apart = position[following] - position[own[0]]
            assert apart >= share_within * width[following]
        np.testing.assert_allclose(groups.share[order][own], 1.0 / own.size)


def test_a_cubic_metric_makes_tetragonal_lines_share():
    # 100 and 001 coincide when c = a, although the law of the cell would let them part.
    groups, drawing = groups_of(1.0, 0.25)
    coincide = np.abs(np.diff(np.sort(drawing.position_rad))) < 1e-12
    assert groups.n_columns == drawing.position_rad.size - coincide.sum()


FREE = FreePhase(name="one", space_group="P m -3 m", cell_A_deg=CUBE)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"phases": ()}, "at least 1 item"),
        ({"phases": (FREE, FREE)}, "two phases are called 'one'"),
        ({"refine_widths": ("U", "U")}, "names a width twice: U, U"),
        ({"phases": (FREE.model_copy(update={"refine_strain": True}),), "refine_widths": ("U",)},
         "U and the strain of every phase broaden lines alike"),
        ({"phases": (FREE.model_copy(update={"refine_size": True}),), "refine_widths": ("Y",)},
         "Y and the size of every phase broaden lines alike"),
        ({"refine_distance": True, "refine_zero": True}, "cannot be told apart"),
        ({"refine_widths": ("V",)}, "Input should be 'U', 'W', 'X' or 'Y'"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_followed_are_refused(change, rule):
    with pytest.raises(ValidationError, match=rule):
        Pawley.model_validate({"phases": (FREE,)} | change)


def test_a_name_with_a_colon_is_refused():
    with pytest.raises(ValidationError, match="name"):
        FreePhase(name="a:b", space_group="P m -3 m", cell_A_deg=CUBE)
