"""Claims of the study: the rules of verdicts, and the numbers that claims stand on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import linregress

from phantoms.stoichiometry import mean_lattice_A
from validation.experiment import Experiment
from validation.paper.claims import Claim, as_markdown
from validation.paper.claims_by_figure import CLAIMS, with_claims
from validation.paper.claims_cell import cell_claims, discharge_claims, slice_claims
from validation.paper.claims_depth_coordinate import SectionSlopes, depth_claims, true_slopes
from validation.paper.claims_gradient import full_excess, line_by_scan
from validation.paper.claims_lithium import mean_x
from validation.paper.claims_map import resolution_um
from validation.paper.claims_persistence import excess_of, followed, stays_in_window
from validation.paper.claims_segregation import slope_and_esd
from validation.paper.claims_window import share_inside
from validation.paper.degraded_regions import single_voxels
from validation.paper.drawing import Drawn
from validation.paper.paper import FIGURES
from validation.paper.populations import population
from validation.paper.prepared import Sets
from validation.paper.style import journal_figure

RISE = Claim("4a", "a", "grows", recovered=12.0, truth=15.0, needed=2.0, esd=0.6, kind="above")
EXPERIMENT = {
    "name": "small",
    "seed": 7,
    "geometry": {"n_channels": 300},
    "scan": {"n_offsets": 25, "n_angles": 26, "step_um": 1.0},
    "sample": {"library": "particle_1", "scan": 5, "diameter_um": 16.0},
}


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "yes"),
        ({"recovered": 1.0}, "no"),  # missed by far more than its uncertainty
        ({"recovered": 9.0, "esd": 4.0}, "cannot tell"),
        ({"truth": 0.0}, "no"),  # found where there is nothing
        ({"truth": 0.0, "recovered": 1.0}, "not in the sample"),
        ({"truth": 1.9, "recovered": 1.0}, "not in the sample"),  # less than what is noticeable
        ({"truth": -1.0}, "no"),  # of the other sign
        ({"truth": 1.9, "recovered": 1.9}, "not in the sample"),  # there, but not noticeable
        ({"truth": 1.9}, "not in the sample"),
        ({"esd": float("nan")}, "cannot tell"),
        ({"esd": float("inf")}, "cannot tell"),
        ({"recovered": float("nan")}, "not found"),
        ({"limit": 11.0, "truth": 13.5}, "cannot tell"),  # 1.0 beyond, of 1.8; 1.5 wrong
    ],
)
def test_a_direction_must_be_both_there_and_found(changed, verdict):
    """Truth: the rules, by hand."""
    claim = replace(RISE, **changed)
    assert claim.supported == verdict
    mirrored = replace(
        claim, recovered=-claim.recovered, truth=-claim.truth, limit=-claim.limit, kind="below"
    )
    assert mirrored.supported == verdict


@pytest.mark.parametrize(("truth", "esd", "verdict"), [
    (11.0, float("nan"), "yes"), (15.0, float("nan"), "no"),  # by the error alone
    (11.0, float("inf"), "cannot tell"), (15.0, float("inf"), "cannot tell"),
])  # fmt: skip
def test_an_amount_of_which_nothing_is_known_cannot_be_told(truth, esd, verdict):
    """Truth: the limit of an ever larger uncertainty; one that is not stated judges nothing."""
    claim = replace(RISE, kind="amount", truth=truth, esd=esd)
    assert claim.supported == verdict


def test_every_row_tells_its_rule():
    """Truth: the claim's own numbers."""
    assert replace(RISE, unit="mÅ").told()[6] == "above 0.00 mÅ by 3 esd, noticeable from 2.00"
    assert replace(RISE, kind="amount").told()[6] == "within 2.00"
    table = as_markdown([replace(RISE, note="a|b")])
    assert table.splitlines()[-1].endswith("a\\|b |")


def test_every_figure_has_further_claims():
    """Truth: the six figures of the study."""
    assert set(CLAIMS) == set(FIGURES) == {1, 2, 3, 4, 5, 6}


def test_claims_of_a_figure_are_added_to_its_own(monkeypatch):
    """Truth: what went in, in order; only that figure's claims are asked."""
    monkeypatch.setattr(
        "validation.paper.claims_by_figure.CLAIMS", {1: (lambda _: [RISE],), 2: (pytest.fail,)}
    )
    own = replace(RISE, claim="own")
    drawn = with_claims(lambda _: Drawn(journal_figure(1.0), "", (own,)), 1)(None)
    assert [claim.claim for claim in drawn.claims] == ["own", "a"]


def test_numbers_of_the_study_are_judged_by_arithmetic():
    """Truth: by hand; 45 mAh at 1.12 mA last 40 h, not 4, and 351 points of 1 µm are no 301 µm."""
    verdicts = [claim.supported for claim in (*discharge_claims(None), *cell_claims(None))]
    assert verdicts == ["yes", "yes", "yes", "yes", "no", "no", "yes"]
    assert [claim.supported for claim in slice_claims(None)] == ["no", "yes"]
    assert {claim.figure[0] for claim in discharge_claims(None)} == {"1"}
    assert {claim.figure[0] for claim in cell_claims(None)} == {"6"}


def test_a_line_by_scan():
    """Truth: a straight line is found exactly, and its esd is that of weighted least squares."""
    values, esd = 3.0 + 2.5 * np.arange(5.0), np.array([1.0, 2.0, 1.0, 0.5, 1.0])
    slope, slope_esd, line = line_by_scan(values, esd)
    design = np.stack([np.ones(5), np.arange(5.0)], axis=1) / esd[:, None]
    assert slope == pytest.approx(2.5)
    assert slope_esd == pytest.approx(np.sqrt(np.linalg.inv(design.T @ design)[1, 1]))
    assert line @ values == pytest.approx(2.5)
    values[2] = np.nan
    assert line_by_scan(values, esd)[0] == pytest.approx(2.5)
    assert np.isnan(line_by_scan(np.full(5, np.nan), esd)[0])


@pytest.mark.parametrize("y", [0.0, 0.05, 0.1])
def test_composition_of_full_spinel(y):
    """Truth: the law a(x, y) at x = 1, at its nodes."""
    assert full_excess(float(mean_lattice_A(1.0, y=y))) == pytest.approx(y, abs=1e-9)


def test_lithium_of_a_map():
    """Truth: the law itself, and the scatter of two particles of 0.3 and 0.7 by hand."""
    a_A = mean_lattice_A(np.array([[0.3, 0.7, 0.7]]), y=0.0)
    x, esd = mean_x(a_A, np.array([[2.0, 1.0, 1.0]]), np.array([[0, 1, 1]]))
    assert x == pytest.approx(0.5)
    assert esd == pytest.approx(np.hypot(0.5 * 0.2, 0.5 * 0.2))
    assert np.isnan(mean_x(np.full((1, 1), np.nan), np.ones((1, 1)), np.zeros((1, 1), int))[0])


def test_share_between_limits():
    """Truth: by hand; a voxel on a limit is inside with probability ½, others surely in or out."""
    a_A, esd_A = np.array([8.0, 8.1, 8.2, np.nan]), np.full(4, 1e-4)
    share, esd = share_inside(a_A, esd_A=esd_A, limits_A=(8.05, 8.2))
    assert share == pytest.approx(1.0 / 3.0)
    assert esd == pytest.approx(np.sqrt(0.25 * 2.0) / 3.0)


def test_particles_that_stay_in_the_window():
    """Truth: by hand."""
    a_A = np.array([[8.10, 8.12, 8.2], [8.10, 8.2, 8.10], [8.07, 8.16, 8.2]])
    assert stays_in_window(a_A).tolist() == [True, False, False]


def test_excess_of_some_over_others():
    """Truth: by hand; means 3 and 1, variances 2 and 1 of two and three."""
    times = np.array([2, 4, 0, 1, 2])
    chosen = np.array([True, True, False, False, False])
    value, esd = excess_of(times, chosen)
    assert (value, esd) == (pytest.approx(2.0), pytest.approx(np.sqrt(2.0 / 2 + 1.0 / 3)))
    assert np.isnan(excess_of(times, np.zeros(5, bool))[0])


def test_slope_against_lattice_parameter():
    """Truth: scipy."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 30))
    expected = linregress(x, y)
    assert slope_and_esd(x, y) == pytest.approx((expected.slope, expected.stderr))


def test_single_voxels_are_drawn_from_their_region():
    """Truth: each is one voxel of it, numbered from 0."""
    label = np.repeat([[-1, 0, 1]], 9, axis=0)
    alone = single_voxels(label, of=1, n=4, seed=3)
    assert sorted(alone[alone >= 0].tolist()) == [0, 1, 2, 3]
    assert np.all(label[alone >= 0] == 1)
    assert single_voxels(label, of=0, n=40, seed=3).max() == 8


@pytest.fixture(scope="module")
def particle(tmp_path_factory):
    """Return a slice of Particle 1, cut at its middle."""
    folder = tmp_path_factory.mktemp("scans")
    return Sets(folder).get(Experiment.model_validate(EXPERIMENT))


@pytest.mark.parametrize("sigma", [0.6, 1.0])
def test_resolution_is_that_of_the_blur(particle, sigma):
    """Truth: a map blurred by a known Gaussian; to the tolerance of the search, 1e-3 of σ.

    The sample goes on beyond the view, which is a disc, and is blurred before it is cut.
    """
    amount = np.random.default_rng(8).uniform(0.0, 1.0, particle.measured.shape)
    assert not particle.measured.all()
    blurred = 0.8 * gaussian_filter(amount, sigma, mode="nearest")
    made = replace(
        particle,
        maps=replace(particle.maps, volume_fraction=np.where(particle.measured, blurred, np.nan)),
        truth=replace(particle.truth, volume_fraction=amount),
    )
    expected = np.sqrt(8.0 * np.log(2.0) * (sigma**2 + 1.0 / 12.0))
    assert resolution_um(made) == pytest.approx(expected, rel=2e-3)


def test_distance_is_depth_in_the_middle_plane(particle):
    """Truth: a sphere cut at its middle; a rises linearly, 15 mÅ over the radius of 8 µm."""
    slopes = true_slopes(particle)
    assert slopes.number.tolist() == [0]
    assert slopes.shown == pytest.approx([1.0])
    # Depth is at the pixel's middle, in the plane: what is left is rounding.
    assert slopes.in_plane == pytest.approx(slopes.true, rel=1e-9)
    assert slopes.true[0] > 0.0


def slope_in_section(cut_um, *, radius_um, height_um):
    """Return the slope of a sphere's depth by distance from its section's edge, by quadrature.

    Over the area of the section, whose outermost ``cut_um`` is left out.
    """
    section_um = np.sqrt(radius_um**2 - height_um**2)
    rho = (np.arange(4000) + 0.5) * (section_um - cut_um) / 4000
    depth, distance = radius_um - np.hypot(height_um, rho), section_um - rho
    return np.polyfit(distance, depth, 1, w=np.sqrt(rho))[0]


def test_distance_is_less_than_depth_off_the_middle(tmp_path):
    """Truth: closed form for a sphere of 8 µm cut 4 µm off its middle, a linear in true depth.

    Voxels of 1 µm lie wholly inside, also where the section is 0.3 µm smaller, ½ µm higher up, so
    that their middles end 0.8 µm within the edge at the least, and one voxel more at the most.
    """
    off = EXPERIMENT | {"sample": EXPERIMENT["sample"] | {"z_um": 4.0}}
    made = Sets(tmp_path).get(Experiment.model_validate(off))
    a_A = 8.2 + 0.002 * made.truth.depth_um
    slopes = true_slopes(replace(made, truth=replace(made.truth, a_A=a_A)))
    bounds = [slope_in_section(cut, radius_um=8.0, height_um=4.0) for cut in (0.8, 1.8)]
    assert min(bounds) < slopes.in_plane[0] / slopes.true[0] < max(bounds)
    assert slopes.true == pytest.approx([0.002])
    assert slopes.shown == pytest.approx([np.sqrt(0.75)])


@pytest.fixture
def perfect(particle):
    """Return the slice with maps of the true lattice parameter, which rises inwards."""
    esd_A = np.full_like(particle.maps.a_A, 1e-3)
    maps = replace(particle.maps, a_A=particle.truth.a_A, a_esd_total_A=esd_A)
    return replace(particle, maps=maps)


def test_perfect_maps_have_the_true_means(perfect):
    """Truth: the limit of no error, to rounding; outer voxels would be lower by milliångströms."""
    found = population(perfect)
    assert found.true_particle.tolist() == [0]
    assert found.true_mean_A == pytest.approx(found.found.mean, abs=1e-9)


def test_particles_are_followed_with_their_true_means(perfect):
    """Truth: the limit of no error in two scans, of which the second is 10 mÅ higher."""
    higher = replace(
        perfect,
        maps=replace(perfect.maps, a_A=perfect.maps.a_A + 0.01),
        truth=replace(perfect.truth, a_A=perfect.truth.a_A + 0.01),
    )
    each = followed([perfect, higher])
    assert each.true_particle.tolist() == [0]
    assert each.found_A.shape == (1, 2)
    assert each.true_A == pytest.approx(each.found_A, abs=1e-9)
    assert np.diff(each.true_A) == pytest.approx(0.01)
    assert each.esd_A[0, 0] == pytest.approx(population(perfect).found.esd[0])


def test_opposite_gradients_do_not_cancel(particle, monkeypatch):
    """Truth: numpy's least squares through zero; slopes of both signs, of which sums are nought.

    In the plane 0.8 of each slope is left, recovered 0.7 with an error that all share.
    """
    true = np.array([3.0, -2.0, -1.0]) * 1e-3
    value, esd = 0.7 * true + 1e-4, np.array([1.0, 2.0, 1.0]) * 1e-4
    slopes = SectionSlopes(np.arange(3), true, 0.8 * true, np.ones(3))
    rows = [SimpleNamespace(particle=k, slope_per_um=value[k], slope_esd_total_per_um=esd[k])
            for k in range(3)]  # fmt: skip
    module = "validation.paper.claims_depth_coordinate"
    monkeypatch.setattr(f"{module}.true_slopes", lambda _: slopes)
    monkeypatch.setattr(f"{module}.label_of", lambda _, number: number)
    monkeypatch.setattr(f"{module}.depth_profiles", lambda *_, **__: rows)
    *_, in_plane, recovered = depth_claims(SimpleNamespace(all_operando=lambda: [particle]))
    (expected,), *_ = np.linalg.lstsq(true[:, None], value)
    assert in_plane.recovered == pytest.approx(0.8)
    assert recovered.recovered == pytest.approx(expected)
    line = np.linalg.pinv(true[:, None])[0]
    assert recovered.esd == pytest.approx(np.sqrt(line**2 @ esd**2))
    monkeypatch.setattr(f"{module}.depth_profiles", lambda *_, **__: [])
    *_, recovered = depth_claims(SimpleNamespace(all_operando=lambda: [particle]))
    assert recovered.supported == "not found"
