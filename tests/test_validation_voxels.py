"""Voxels of a Rietveld refinement scored and reported: figures by hand, words, pictures."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from inverse.maps import Maps
from inverse.recipe import Recipe
from inverse.refine import Status
from inverse.voxel_maps import (
    PhaseMaps,
    Quantity,
    RietveldMaps,
    SecondLatticeMaps,
    SubstanceMaps,
)
from phantoms.sample import SPINEL
from validation.figures_phases import phases_figure, second_lattice_figure
from validation.figures_style import png
from validation.metrics import lattice_metrics
from validation.metrics_voxels import (
    second_lattice_metrics,
    true_pair,
    true_voxel_fractions,
    voxel_fraction_metrics,
)
from validation.report import write_report
from validation.report_voxels import second_lattice_summary, voxel_table
from validation.scorecard import summary
from validation.truth import Truth
from xrdct.errors import InputError
from xrdct.scan import Scan

N = 4
SCAN = Scan(n_offsets=N, step_um=1.0, n_angles=N)
MINOR = "Li2MnO3"
METRICS = {
    "experiment": "four voxels", "config_sha256": "0" * 64, "seed": 1, "versions": {},
    "scan": {"n_points": 16, "beam_time_s": 1.0, "mode": "patterns"},
    "timing_s": {"refine": 1.0, "total": 1.0}, "peak_memory_MB": 1.0,
}  # fmt: skip


def row(*values):
    """A map whose first row is this, and whose other voxels are empty."""
    image = np.full((N, N), np.nan)
    image[0, : len(values)] = values
    return image


def known():
    """Four voxels with material in the first row; the last two hold two lattices."""
    full = np.zeros((N, N))
    full[0] = 1.0
    lattices = np.zeros((3, N, N))
    lattices[0, 0] = [1.0, 1.0, 0.3, 0.5]
    lattices[2, 0] = [0.0, 0.0, 0.7, 0.5]
    a_A = np.full((3, N, N), np.nan)
    a_A[0, 0], a_A[2, 0, 2:] = 8.20, 8.08
    interior = full > 0.0
    return Truth(
        scan=SCAN, a_A=np.where(interior, 8.2, np.nan), volume_fraction=full,
        lattice_a_A=a_A, lattice_fraction=lattices, extra_fraction={MINOR: 0.1 * full},
        particle=np.where(interior, 0, -1), depth_um=np.where(interior, 1.0, np.nan),
        interior=interior, eroded=np.zeros((N, N), bool), two_lattices=lattices[2] > 0.0,
        mass_g_per_cm3={SPINEL: 3.0 * full, MINOR: full * np.array([1.0, 1.0, 1.0, 3.0])},
    )  # fmt: skip


def found(minor=(0.26, 0.23, 0.25, np.nan), decision=(0.0, 1.0, 1.0, 2.0), phases=None):
    fraction = row(*minor)
    esd = row(0.01, 0.01, 0.02, 0.01)
    nothing = Quantity(row(), row())
    spinel = Quantity(row(8.2, 8.1, 8.081, np.nan), esd)
    second = Quantity(row(np.nan, 8.2, 8.203, np.nan), esd)
    maps = RietveldMaps(
        phases=phases or (
            PhaseMaps(SPINEL, SPINEL, {"a_A": spinel}),
            PhaseMaps(f"{SPINEL}-second", SPINEL, {"a_A": second}),
            PhaseMaps(MINOR, MINOR, {"weight_fraction": nothing}),
        ),
        substances=(
            SubstanceMaps(MINOR, fraction, esd, 2.0 * esd),
            SubstanceMaps(SPINEL, 1.0 - fraction, esd, 2.0 * esd),
        ),
        common={}, chi2_reduced=row(1.0, 1.1, 1.2, np.nan), r_wp=row(0.1, 0.1, 0.1, np.nan),
        residual_rms=row(), status=np.full((N, N), float(Status.NO_MATERIAL)),
        mean_residual=np.zeros(5), mean_square=np.ones(5),
        second_lattice=SecondLatticeMaps(
            row(*decision), row(*decision), Quantity(row(np.nan, 0.4, 0.31, np.nan), esd)
        ),
    )  # fmt: skip
    return Maps(
        SPINEL, SCAN, *(row(8.2, 8.2, 8.2, 8.2) for _ in range(7)),
        status=np.where(np.isfinite(row(1, 1, 1, 1)), 0.0, 1.0), example=None, recipe=Recipe(),
        rietveld=maps,
    )  # fmt: skip


def test_truth_is_shares_of_mass():
    # By hand: 1 of 4 and 3 of 6 parts, in the order of the maps; nothing where there is nothing.
    true = true_voxel_fractions(found().rietveld, known(), refined=SPINEL)
    np.testing.assert_allclose(true[0, :, 0], [0.25, 0.25, 0.25, 0.5])
    np.testing.assert_allclose(true[0, :, 1], [0.75, 0.75, 0.75, 0.5])
    assert np.isnan(true[1:]).all()


def test_figures_are_those_of_the_errors():
    # By hand: errors of +1 %, −2 % and 0, and a voxel that was not refined.
    figures = voxel_fraction_metrics(found(), known())[MINOR]["interior"]
    assert (figures["n_voxels"], figures["n_not_recovered"]) == (3, 1)
    assert figures["true_mean"] == pytest.approx(0.25)
    assert figures["bias"] == pytest.approx(-0.01 / 3)
    assert figures["rms"] == pytest.approx(np.sqrt(5e-4 / 3))
    z = np.array([1.0, -2.0, 0.0])
    assert figures["std_z_noise"] == pytest.approx(z.std())
    assert figures["std_z"] == pytest.approx(z.std() / 2)
    assert figures["mean_z"] == pytest.approx(z.mean() / 2)
    eroded = voxel_fraction_metrics(found(), known())[MINOR]["eroded"]
    assert eroded == {"n_voxels": 0, "n_not_recovered": 0}


def test_pairs_are_sorted_by_amount():
    # By hand; halves keep their order.
    a_A, share = true_pair(known())
    np.testing.assert_allclose(share[0], [0.0, 0.0, 0.3, 0.5])
    np.testing.assert_allclose(a_A[0, 0], [8.2, 8.2, 8.08, 8.2])
    np.testing.assert_allclose(a_A[1, 0, 2:], [8.2, 8.08])


def test_second_lattices_are_counted():
    # By hand: of two pairs one was found and one found but not refined; of two single lattices one
    # was taken for two. Errors of the pair: +1 mÅ, +3 mÅ, one per cent.
    figures = second_lattice_metrics(found(), known())
    expected = {
        "n_undecided": 0, "n_two": 2, "n_two_found": 1, "n_one": 2, "n_one_taken_for_two": 1,
        "bias_A": [1e-3, 3e-3], "rms_A": [1e-3, 3e-3], "share_bias": 0.01, "share_rms": 0.01,
    }  # fmt: skip
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value), name
    assert second_lattice_metrics(found(decision=(0.0, 0.0, 0.0, 1.0)), known())[
        "largest_share_missed"
    ] == pytest.approx(0.3)
    undecided = second_lattice_metrics(found(decision=(np.nan, 0.0, 0.0, 0.0)), known())
    assert (undecided["n_undecided"], undecided["n_two_found"]) == (1, 0)
    assert "rms_A" not in undecided


def test_halves_that_were_exchanged_are_compared_rightly():
    # By hand: the true halves at 8.20 and 8.08 Å, found the other way round with 49 % at 8.20.
    maps = found(decision=(0.0, 0.0, 0.0, 1.0))
    first, second, _ = maps.rietveld.phases
    pair = (
        replace(first, quantities={"a_A": Quantity(row(1, 1, 1, 8.08), row())}),
        replace(second, quantities={"a_A": Quantity(row(1, 1, 1, 8.20), row())}),
    )
    share = Quantity(row(0, 0, 0, 0.49), row())
    again = replace(
        maps.rietveld, phases=pair, second_lattice=replace(maps.rietveld.second_lattice,
                                                           share=share),
    )  # fmt: skip
    figures = second_lattice_metrics(replace(maps, rietveld=again), known())
    assert figures["rms_A"] == pytest.approx([0.0, 0.0], abs=1e-12)
    assert figures["share_bias"] == pytest.approx(0.01)


def test_without_a_refinement_there_is_nothing():
    maps = replace(found(), rietveld=None)
    assert voxel_fraction_metrics(maps, known()) == {}
    assert second_lattice_metrics(maps, known()) == {}
    maps = replace(found(), rietveld=replace(found().rietveld, second_lattice=None))
    assert second_lattice_metrics(maps, known()) == {}
    assert second_lattice_summary({}) == []


def test_other_grids_are_refused():
    other = replace(found(), scan=Scan(n_offsets=N, step_um=2.0, n_angles=N))
    for figures in (voxel_fraction_metrics, second_lattice_metrics):
        with pytest.raises(InputError, match="cannot be compared"):
            figures(other, known())


def all_metrics(maps):
    return METRICS | {
        "lattice": {SPINEL: lattice_metrics(maps, known())},
        "weight_fraction_voxels": voxel_fraction_metrics(maps, known()),
        "second_lattice": second_lattice_metrics(maps, known()),
    }


def test_the_summary_tells_them():
    text = summary(all_metrics(found()))
    assert f"{MINOR}: weight fraction by voxel, 3 voxels, true mean 25.00%" in text
    assert "second lattice: found in 1 of 2 voxels, and in 1 of 2 that have none" in text


def test_words_are_those_of_the_figures():
    rows = voxel_table(voxel_fraction_metrics(found(), known()))
    assert [(own.phase, own.voxels) for own in rows] == [
        (MINOR, "interior"), ("", "eroded"), (SPINEL, "interior"), ("", "eroded"),
    ]  # fmt: skip
    assert rows[0].values[:5] == ["3", "1", "25.00", "−0.33", "1.29"]
    assert rows[1].values[2:] == ["—"] * 6
    text = " ".join(second_lattice_summary(second_lattice_metrics(found(), known())))
    assert "in 1 of the 2 interior voxels that hold two, and in 1 of the 2 that hold one" in text
    assert "1.000 mÅ (the larger share) and 3.000 mÅ" in text
    missed = second_lattice_metrics(found(decision=(0.0, 0.0, 0.0, 1.0)), known())
    assert "a smaller lattice that was missed is 30.00 %" in " ".join(
        second_lattice_summary(missed)
    )


def test_the_report_shows_both(tmp_path):
    path = tmp_path / "report.html"
    write_report(found(), truth=known(), metrics=all_metrics(found()), path=path)
    page = path.read_text(encoding="utf-8")
    for heading in ("Phases, voxel by voxel", "Two lattices in one voxel"):
        assert f"<h2>{heading}</h2>" in page
    assert '<table id="phases">' in page
    plain = replace(found(), rietveld=None)
    write_report(plain, truth=known(), metrics=all_metrics(plain), path=path)
    page = path.read_text(encoding="utf-8")
    assert "voxel by voxel" not in page
    assert "Two lattices in one voxel" not in page


def shown(figure: Figure):
    return [image.get_array().compressed() for axes in figure.axes for image in axes.images]


def test_pictures_show_truth_and_what_was_found():
    # By hand: the first row of each map, in per cent; a grey voxel where there is nothing.
    true, recovered, error = shown(phases_figure(found(), truth=known()))
    np.testing.assert_allclose(true, [25.0, 25.0, 25.0, 50.0])
    np.testing.assert_allclose(recovered, [26.0, 23.0, 25.0])
    np.testing.assert_allclose(error, [1.0, -2.0, 0.0], atol=1e-12)


def test_decisions_are_painted_by_what_is_true():
    # By hand: one rightly, one taken for two, two rightly; unsettled counts as two.
    kinds, _chi2, true_A, found_A, *_ = shown(second_lattice_figure(found(), truth=known()))
    np.testing.assert_array_equal(kinds, [0.0, 3.0, 1.0, 1.0])
    np.testing.assert_allclose(true_A, [8.2, 8.08])
    np.testing.assert_allclose(found_A, [8.2, 8.203])


@pytest.mark.parametrize("figure", [phases_figure, second_lattice_figure])
def test_empty_results_have_a_picture_too(figure):
    # Law: whatever was refined, the picture can be drawn.
    maps = found()
    nothing = replace(maps.rietveld, substances=maps.rietveld.substances[1:], second_lattice=None)
    for made in (replace(maps, rietveld=None), replace(maps, rietveld=nothing)):
        assert len(png(figure(made, truth=known()))) > 1000
    unknown = found(minor=[np.nan] * 4, decision=[np.nan] * 4)
    assert len(png(figure(unknown, truth=known()))) > 1000
