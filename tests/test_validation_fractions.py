"""Weight fractions scored: the truth of the same voxels, the figures, the report."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from forward.settings import Effects
from inverse.recipe import FixedPhase, Recipe
from inverse.recover import recover
from inverse.region_table import RegionTable
from phantoms.particle import Particle, Shell
from phantoms.sample import SPINEL, Sample
from validation.experiment import Experiment, ParticleList
from validation.figures_fractions import fractions_figure, shell_profile
from validation.metrics import lattice_metrics, true_weight_fractions, weight_fraction_metrics
from validation.report import write_report
from validation.report_fractions import fraction_summary, fraction_table
from validation.scorecard import scorecard, summary
from validation.steps import simulate
from validation.truth import truth_on_grid, with_masses
from validation.truthfile import KnownTruth
from xrdct.crystal import load_crystal
from xrdct.errors import InputError
from xrdct.instrument import Geometry
from xrdct.scan import Scan

MINOR = "Li2MnO3"
SCAN = Scan(n_offsets=31, step_um=1.0, n_angles=48)
PARTICLE = Particle(
    centre_um=(0.0, 0.0, 0.0), diameter_um=20.0, x=0.9, porosity=0.1,
    shells=(Shell(phase=MINOR, thickness_um=4.0, weight_fraction=0.06),),
)  # fmt: skip


@pytest.fixture(scope="module")
def truth():
    return truth_on_grid(Sample((PARTICLE,)), scan=SCAN, beam_height_um=0.1)


def rings(edges_um, n=31):
    """Label rings between radii about the middle of the map, the innermost last."""
    x, y = np.meshgrid(SCAN.offsets_um, SCAN.offsets_um)
    r = np.hypot(x, y)
    label = np.full((n, n), -1)
    for number, (outer, inner) in enumerate(pairwise(edges_um)):
        label[(r < outer) & (r >= inner)] = number
    return label


def table_of(label, fraction, *, esd_noise=0.01, esd_total=0.02, phases=(SPINEL, MINOR)):
    """A table of one particle, a shell for each region; ``fraction`` is that of the minor phase."""
    fraction = np.asarray(fraction, dtype=float)
    n = fraction.size
    both = np.stack([1.0 - fraction, fraction], axis=1)[:, : len(phases)]
    depth = np.stack([np.arange(n), np.arange(n) + 1.0], axis=1)
    return RegionTable(
        phases=phases, label=label, particle=np.zeros(n, int), shell=np.arange(n),
        depth_um=depth, n_voxels=np.bincount(label[label >= 0], minlength=n),
        n_lattices=np.ones(n, int), amount=both, weight_fraction=both,
        weight_fraction_esd_noise=np.full(both.shape, esd_noise),
        weight_fraction_esd_total=np.full(both.shape, esd_total), a_A=np.full(n, 8.2),
        a_esd_noise_A=np.full(n, 1e-4), chi2_reduced=np.ones(n),
    )  # fmt: skip


@pytest.fixture(scope="module")
def recovered():
    """A quiet run of a coated particle, 31 × 48 points of 1 µm, 400 channels."""
    experiment = Experiment(
        sample=ParticleList(particles=(PARTICLE,)),
        scan=SCAN,
        geometry=Geometry(n_channels=400, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        recipe=Recipe(fixed_phases=(FixedPhase(crystal=MINOR),)),
        effects=Effects(noise=False),
    )
    simulated = simulate(experiment)
    return experiment, simulated, recover(simulated.raw)


def test_the_truth_is_what_the_phantom_was_given(truth):
    # Planted: 6 % by weight of the solid in the outer 4 µm, none within; voxels that lie wholly
    # on one side, in a beam 0.1 µm high. Rounding only.
    table = table_of(rings((9.0, 7.5, 4.5, 0.0)), [0.0, 0.0, 0.0])
    true = true_weight_fractions(table, truth)
    np.testing.assert_allclose(true[0], [0.94, 0.06], atol=1e-9)
    np.testing.assert_allclose(true[2], [1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(true.sum(axis=1), 1.0, atol=1e-12)


def test_masses_are_volume_fractions_times_densities(truth):
    # Closed form: the mass of Li0.9Mn2O4 in its cell, eight formulas; a tabulated density.
    masses = truth.mass_g_per_cm3
    middle = 15, 15
    u = 0.9 * 6.94 + 2 * 54.938043 + 4 * 15.999
    density = 8 * u * 1.66053906660 / truth.a_A[middle] ** 3
    assert masses[SPINEL][middle] == pytest.approx(0.9 * density, rel=1e-6)
    other = load_crystal(MINOR).density_g_per_cm3
    np.testing.assert_allclose(masses[MINOR], truth.extra_fraction[MINOR] * other)


def test_masses_that_a_file_does_not_tell_are_estimated(truth):
    # By the docstring: too large by the share of mass that LiMn2O4 has more than Li0.9Mn2O4, 0.4 %.
    estimated = with_masses(replace(truth, mass_g_per_cm3=None), folder=Path()).mass_g_per_cm3
    middle = 15, 15
    ratio = estimated[SPINEL][middle] / truth.mass_g_per_cm3[SPINEL][middle]
    lighter = 0.1 * 6.94 / (6.94 + 2 * 54.938043 + 4 * 15.999)
    assert ratio == pytest.approx(1.0 / (1.0 - lighter), abs=1e-4)
    np.testing.assert_allclose(estimated[MINOR], truth.mass_g_per_cm3[MINOR])
    assert with_masses(truth, folder=Path()) is truth


def test_a_phase_that_was_not_looked_for_counts_in_the_truth(truth):
    # Law: shares in the mass of all there is.
    table = table_of(rings((9.0, 7.5)), [0.0], phases=(SPINEL,))
    assert true_weight_fractions(table, truth)[0, 0] == pytest.approx(0.94, abs=1e-9)


def test_phases_go_by_the_names_of_their_crystals(truth):
    table = table_of(rings((9.0, 7.5)), [0.0], phases=(SPINEL, f"somewhere/{MINOR}.cif"))
    assert true_weight_fractions(table, truth)[0, 1] == pytest.approx(0.06, abs=1e-9)


def maps_with(recovered, table):
    return replace(recovered[2], regions=table)


def test_figures_are_those_of_the_errors(recovered, truth):
    # Planted errors of +1 %, −2 % and +4 % and a region that was not refined; by hand.
    label = rings((9.2, 8.2, 7.2, 4.0, 0.0))
    expected = true_weight_fractions(table_of(label, np.zeros(4)), truth)[:, 1]
    error = np.array([0.01, -0.02, 0.04, np.nan])
    table = table_of(label, expected + error)
    figures = weight_fraction_metrics(maps_with(recovered, table), truth)
    assert list(figures) == [SPINEL, MINOR]
    minor = figures[MINOR]["all"]
    assert minor["n_regions"] == 3
    assert minor["n_not_recovered"] == 1
    assert minor["n_voxels"] == table.n_voxels[:3].sum()
    assert minor["bias"] == pytest.approx(0.01)
    assert minor["rms"] == pytest.approx(np.sqrt((1 + 4 + 16) / 3) / 100)
    assert minor["robust_sigma"] == pytest.approx(1.4826022 * 0.03)
    assert minor["true_mean"] == pytest.approx(expected[:3].mean())
    assert minor["mean_z"] == pytest.approx(0.5)
    assert minor["std_z"] == pytest.approx(np.std(error[:3]) / 0.02)
    assert minor["std_z_noise"] == pytest.approx(np.std(error[:3]) / 0.01)
    shells = figures[MINOR]["shells"]
    assert list(shells) == ["0-1 um", "1-2 um", "2-3 um", "3-4 um"]
    assert shells["1-2 um"]["bias"] == pytest.approx(-0.02)
    assert "bias" not in shells["3-4 um"]
    main = figures[SPINEL]["all"]
    assert main["bias"] == pytest.approx(-minor["bias"])
    assert main["rms"] == pytest.approx(minor["rms"])


def test_a_single_phase_has_no_uncertainty_to_judge(recovered, truth):
    table = table_of(rings((3.0, 0.0)), [0.0], phases=(SPINEL,), esd_noise=0.0, esd_total=0.0)
    figures = weight_fraction_metrics(maps_with(recovered, table), truth)[SPINEL]["all"]
    assert figures["bias"] == pytest.approx(0.0, abs=1e-12)
    assert "std_z" not in figures


def test_maps_without_regions_have_no_figures(recovered, truth):
    assert weight_fraction_metrics(maps_with(recovered, None), truth) == {}


def test_other_grids_are_refused(recovered, truth):
    coarse = replace(truth, scan=SCAN.model_copy(update={"step_um": 2.0}))
    table = table_of(rings((3.0, 0.0)), [0.0])
    with pytest.raises(InputError, match=r"2\.0 µm"):
        weight_fraction_metrics(maps_with(recovered, table), coarse)


def test_a_coated_particle_comes_back(recovered):
    # Planted: 6 % by weight within 4 µm of the surface of a ball of 20 µm, noise-free. Regions are
    # found in the maps; in the two shells between surface and border the blur of a 1 µm beam does
    # not reach, and a tenth of the fraction is what refinements of overlapped lines are good for.
    _, simulated, maps = recovered
    table = maps.regions
    assert table.phases == (SPINEL, MINOR)
    assert set(table.particle) == {0}
    true = true_weight_fractions(table, simulated.truth)[:, 1]
    found = table.weight_fraction[:, 1]
    for shell in (1, 2):
        assert found[shell] == pytest.approx(0.06, abs=0.006)
        assert true[shell] == pytest.approx(0.06, abs=1e-3)
    assert np.all(np.abs(found[table.depth_um[:, 0] >= 6.0]) < 0.006)
    assert np.all(table.weight_fraction_esd_total > 0.0)
    # Of the spinel's amount nine tenths are solid, and there the lattice parameter is one.
    inner = table.depth_um[:, 0] >= 5.0
    np.testing.assert_allclose(table.amount[inner, 0], 0.9, atol=0.02)
    np.testing.assert_allclose(table.a_A[inner], simulated.truth.a_A[15, 15], atol=1e-4)


def card(maps, truth):
    return {
        "experiment": "coated", "config_sha256": "0" * 64, "seed": 0, "versions": {},
        "scan": {"n_points": 10, "beam_time_s": 1.0, "mode": "patterns"},
        "timing_s": {"refine": 1.0, "total": 1.0}, "peak_memory_MB": 1.0,
        "lattice": {SPINEL: lattice_metrics(maps, truth)},
        "weight_fraction": weight_fraction_metrics(maps, truth),
    }  # fmt: skip


def test_the_report_has_a_section_where_there_are_regions(recovered, tmp_path):
    # Truth: the metrics, read back from the page to half a unit of the last decimal.
    _, simulated, maps = recovered
    metrics = card(maps, simulated.truth)
    write_report(maps, truth=simulated.truth, metrics=metrics, path=tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<img") == 8
    rows = re.search(r'<table id="fractions">.*?</table>', page, re.DOTALL)[0]
    cells = re.findall(r'<td class="number">(.*?)</td>', rows)
    values = [float(cell.replace("−", "-")) for cell in cells if cell != "—"]
    whole = metrics["weight_fraction"][MINOR]["all"]
    for key in ("bias", "rms", "robust_sigma", "true_mean"):
        assert np.min(np.abs(np.array(values) - 100.0 * whole[key])) <= 0.005 + 1e-9
    assert f"The weight fraction of {MINOR}" in page
    without = replace(maps, regions=None)
    write_report(
        without, truth=simulated.truth, metrics=card(without, simulated.truth),
        path=tmp_path / "none.html",
    )  # fmt: skip
    page = (tmp_path / "none.html").read_text(encoding="utf-8")
    assert page.count("<img") == 7
    assert "Weight fractions" not in page


def test_the_summary_has_a_line_for_each_phase(recovered):
    _, simulated, maps = recovered
    metrics = card(maps, simulated.truth)
    lines = summary(metrics).splitlines()
    whole = metrics["weight_fraction"][MINOR]["all"]
    expected = f"{MINOR}: weight fraction, {whole['n_regions']} regions"
    assert any(line.startswith(expected) for line in lines)
    assert f"RMS {100 * whole['rms']:.2f}%" in lines[-1]
    metrics["weight_fraction"] = {MINOR: {"all": {"n_regions": 0}, "shells": {}}}
    assert summary(metrics).endswith("no region to compare")


@pytest.mark.parametrize(
    ("std_z", "n", "words"),
    [
        (1.0, 200, "agree with the errors"),
        (2.0, 200, "too small, by a factor of 2.00"),
        (0.5, 200, "larger than the errors"),
        (2.0, 20, None),
    ],
)
def test_words_follow_the_figures(std_z, n, words):
    whole = {
        "n_regions": n, "n_not_recovered": 0, "n_voxels": 9, "true_mean": 0.04, "bias": -0.001,
        "rms": 0.002, "robust_sigma": 0.001, "mean_z": 0.0, "std_z": std_z, "std_z_noise": 3.0,
    }  # fmt: skip
    fractions = {SPINEL: {"all": whole, "shells": {}}, MINOR: {"all": whole, "shells": {}}}
    sentences = fraction_summary(fractions)
    assert "bias of −0.10 % and an RMS error of 0.20 %" in sentences[0]
    assert len(sentences) == (1 if words is None else 2)
    assert words is None or words in sentences[1]
    assert [row.phase for row in fraction_table(fractions)] == [SPINEL, MINOR]
    nothing = {SPINEL: {"all": {}, "shells": {}}, MINOR: {"all": {"n_regions": 0}, "shells": {}}}
    assert "No region" in fraction_summary(nothing)[0]


def test_shell_profiles_are_means_over_regions():
    # By hand, in per cent: two shells, one region unknown.
    fraction = np.array([0.01, 0.03, 0.05, np.nan])
    true = np.array([0.0, 0.02, 0.05, 0.05])
    depth = np.array([[0, 1], [0, 1], [1, 3], [1, 3]], float)
    profile = shell_profile(fraction, true, depth_um=depth)
    np.testing.assert_array_equal(profile.depth_um, [[0, 1], [1, 3]])
    np.testing.assert_array_equal(profile.n_regions, [2, 1])
    np.testing.assert_allclose(profile.recovered, [2.0, 5.0])
    np.testing.assert_allclose(profile.true, [1.0, 5.0])
    assert profile.error_sem[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(profile.error_sem[1])
    wider = shell_profile(np.array([0.01, 0.05]), np.zeros(2), depth_um=depth[:2])
    assert wider.error_sem[0] == pytest.approx(np.std([1.0, 5.0], ddof=1) / np.sqrt(2))


def offsets(figure: Figure, panel: int):
    """Return the points of a panel's marked line."""
    line = next(line for line in figure.axes[panel].lines if line.get_marker() == "o")
    return np.asarray(line.get_xydata())


def test_the_figure_shows_every_region(recovered):
    # Truth: table and truth themselves, in per cent.
    _, simulated, maps = recovered
    figure = fractions_figure(maps, truth=simulated.truth)
    table = maps.regions
    true = true_weight_fractions(table, simulated.truth)[:, 1]
    np.testing.assert_allclose(
        offsets(figure, 0), 100.0 * np.stack([true, table.weight_fraction[:, 1]], axis=1)
    )
    drawn = offsets(figure, 1)
    np.testing.assert_allclose(drawn[:, 0], table.depth_um.mean(axis=1))
    np.testing.assert_allclose(drawn[:, 1], 100.0 * table.weight_fraction[:, 1])
    empty = fractions_figure(replace(maps, regions=None), truth=simulated.truth)
    assert "no regions" in empty.axes[0].texts[0].get_text()


def test_truths_of_files_without_masses_are_scored_alike(recovered):
    # Law: the estimate changes what it stands for by less than a per cent here, and the scorecard
    # makes it from the experiment's folder.
    experiment, simulated, maps = recovered
    known = KnownTruth(replace(simulated.truth, mass_g_per_cm3=None), experiment, {})
    metrics, filled = scorecard(maps, known)
    assert filled.mass_g_per_cm3 is not None
    exact = weight_fraction_metrics(maps, simulated.truth)[MINOR]["all"]
    about = metrics["weight_fraction"][MINOR]["all"]
    assert about["true_mean"] == pytest.approx(exact["true_mean"], rel=0.01)
