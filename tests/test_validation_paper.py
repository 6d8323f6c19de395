"""The study's figures: what its scans are, how claims are judged, what is kept and found again."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inverse.recipe import Recipe
from phantoms.operando_electrode import volume_planes
from phantoms.operando_options import OperandoElectrode
from tests.paper_slice import small_slice
from validation.cli import main
from validation.experiment import load_recipe
from validation.paper import paper as orchestrator
from validation.paper import prepared
from validation.paper.claims import HEADINGS, Claim, as_csv, as_json, as_markdown, from_table
from validation.paper.drawing import Drawn
from validation.paper.experiments import (
    N_PLANES,
    N_SCANS,
    Size,
    degraded,
    operando,
    recipe_table,
    volume_plane,
)
from validation.paper.fractions import depth_fractions
from validation.paper.histograms import EDGES_A, counts, occupants
from validation.paper.prepared import folder_name
from validation.paper.style import journal_figure
from xrdct.errors import InputError
from xrdct.scan import SCAN_PRESETS

RECIPES = Path(__file__).parent.parent / "examples" / "recipes"
FULL, QUICK = Size(), Size(quick=True)
GOOD = Claim("2a", "a", "8.07 Å", recovered=8.071, truth=8.07, needed=0.0015, unit="Å", digits=3)
BAD = replace(GOOD, recovered=8.08, esd=0.001, note="with, a comma")


def test_the_steps_are_those_of_the_paper_recipe():
    """Truth: `examples/recipes/paper.toml`, which is documented as the study's way."""
    ours = Recipe.model_validate(recipe_table(others=("coarse", "broad"), trimmed=True))
    paper = load_recipe(RECIPES / "paper.toml")
    for step in ("integration", "sinogram", "truncation", "reconstruction"):
        assert getattr(ours, step) == getattr(paper, step)
    assert ours.n_background == paper.n_background


def test_scans_are_the_published_ones():
    """Truth: the study's section Methods, as the presets hold it (tested in test_xrdct_scan)."""
    whole = operando(3, size=FULL, seed=1)
    for scan, preset in ((whole.scan, "roi"), (whole.scans["coarse"], "coarse")):
        for field in ("n_offsets", "step_um", "n_angles", "angle_range_deg", "exposure_s"):
            assert getattr(scan, field) == getattr(SCAN_PRESETS[preset], field)
    old = degraded(size=FULL, seed=1)
    assert old.scan.n_offsets == SCAN_PRESETS["roi_degraded"].n_offsets
    assert old.scans["coarse"].n_angles == SCAN_PRESETS["coarse_degraded"].n_angles
    assert old.cell is None


def test_planes_of_the_volume_are_where_the_phantom_puts_them():
    """Truth: 20 planes, 2 µm apart, symmetric about the slice; those of the phantom itself."""
    heights = [volume_plane(n, size=FULL, seed=1).sample.z_um for n in range(N_PLANES)]
    assert heights == pytest.approx([spec.z_um for spec in volume_planes(OperandoElectrode())])
    assert heights == pytest.approx(np.arange(-19.0, 20.0, 2.0))
    scan = volume_plane(0, size=FULL, seed=1).scan
    for field in ("n_offsets", "step_um", "n_angles", "exposure_s"):
        assert getattr(scan, field) == getattr(SCAN_PRESETS["volume"], field)


@pytest.mark.parametrize("size", [FULL, QUICK])
def test_every_experiment_can_be_made(size):
    """Truth: the checks that every experiment file must pass."""
    for scan in range(1, N_SCANS + 1):
        for trimmed in (True, False):
            operando(scan, size=size, seed=1, trimmed=trimmed).check()
    volume_plane(size.planes - 1, size=size, seed=1).check()
    degraded(size=size, seed=1).check()


def test_a_claim_stands_if_its_error_is_small_enough():
    """Truth: by hand; 8.071 is within 1.5 mÅ of 8.07, 8.08 is not, and NaN is nothing."""
    assert GOOD.supported == "yes"
    assert BAD.supported == "no"
    assert replace(GOOD, recovered=float("nan")).supported == "not found"


def test_a_large_uncertainty_does_not_make_a_claim_true():
    """Truth: 3.5 ± 4 says nothing of 3 to 4, hit or miss; 20 ± 4 is wrong by more than it says."""
    claim = Claim("5b", "a", "3 to 4 %", recovered=3.4, truth=3.5, needed=0.5, esd=4.0)
    assert claim.supported == "cannot tell"
    assert replace(claim, recovered=-4.0).supported == "cannot tell"
    assert replace(claim, recovered=20.0).supported == "no"
    assert replace(claim, esd=0.2).supported == "yes"


def test_tables_hold_every_claim():
    """Truth: the claims that went in."""
    rows = list(csv.reader(io.StringIO(as_csv([GOOD, BAD]).decode())))
    assert rows[0] == list(HEADINGS)
    assert [row[-2] for row in rows[1:]] == ["yes", "no"]
    assert rows[2][-1] == "with, a comma"
    rows = [row for row in as_markdown([GOOD, BAD]).splitlines() if row.startswith("| ")]
    assert len(rows) == 3
    again = from_table(json.loads(as_json([GOOD, BAD], figure=2))["claims"])
    assert [claim.told() for claim in again] == [GOOD.told(), BAD.told()]


@pytest.fixture
def voxels():
    """Return lattice parameters of 60 × 60 voxels, recovered and true, drawn at random."""
    rng = np.random.default_rng(5)
    true = rng.uniform(8.03, 8.25, (60, 60))
    true[rng.random(true.shape) < 0.2] = np.nan
    recovered = true + rng.normal(0.0, 0.02, true.shape)
    recovered[rng.random(true.shape) < 0.05] = rng.uniform(8.03, 8.25)  # also where nothing is
    return recovered, true, rng.random(true.shape) < 0.3


def test_what_is_in_the_window_is_told_apart_completely(voxels):
    """Truth: every voxel found there is one of three things."""
    recovered, true, two = voxels
    found = occupants(recovered, true, two_lattices=two)
    assert found.recovered > 0.1
    assert found.mixed + found.single + found.neither == pytest.approx(found.recovered)
    assert found.true_single < found.true


def test_perfect_maps_hold_nothing_but_the_truth(voxels):
    """Truth: the limit of no error."""
    _, true, two = voxels
    found = occupants(true, true, two_lattices=two)
    assert found.recovered == found.true
    assert found.neither == 0.0
    assert found.single == found.true_single


def test_histograms_hold_every_voxel(voxels):
    """Truth: shares of all voxels add up to one."""
    recovered, _, _ = voxels
    inside = (recovered > EDGES_A[0]) & (recovered < EDGES_A[-1])
    assert counts(np.where(inside, recovered, np.nan)).sum() == pytest.approx(1.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a folder, and a small slice in it."""
    folder = tmp_path_factory.mktemp("scans")
    return folder, small_slice(folder)


def test_a_scan_is_made_once(small, monkeypatch):
    """Truth: the same maps, read from the folder by a program that cannot simulate."""
    folder, first = small
    monkeypatch.setattr(prepared, "run", None)
    again = small_slice(folder)
    np.testing.assert_array_equal(again.maps.a_A, first.maps.a_A)
    assert again.raw().counts.shape == (24, 21, 300)


def test_other_experiments_have_other_folders():
    """Truth: what determines a scan is in the name of its folder, without spaces."""
    names = {folder_name(operando(n, size=QUICK, seed=seed)) for n in (1, 2) for seed in (1, 2)}
    assert len(names) == 4
    assert not any(" " in name or "," in name for name in names)


def test_fractions_of_a_particle_are_those_of_its_regions(small):
    """Truth: the voxels of each depth; fractions of all phases add up to the whole."""
    _, each = small
    found = depth_fractions(each, 0)
    there = np.isfinite(found.recovered[:, 0])
    assert there.sum() >= 2
    assert found.recovered[there].sum(axis=1) == pytest.approx(100.0)
    for depth in np.flatnonzero(there):
        assert np.all(each.truth.particle[found.label == depth] == 0)


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command as from a shell; returns exit code, what it printed, and its errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["xrdct-twin", "paper", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return run


@pytest.fixture
def one_figure(monkeypatch):
    """Let there be one figure, quickly drawn."""

    def drawn(study):
        return Drawn(journal_figure(1.0), f"Seed {study.seed}.", (GOOD, BAD))

    monkeypatch.setattr(orchestrator, "FIGURES", {2: drawn})


def test_the_command_writes_figures_table_and_page(one_figure, call, tmp_path):
    """Truth: the files' own formats."""
    code, told, _ = call("--quick", "--seed", 5, "-o", tmp_path)
    assert code == 0
    assert "2 claims, supported: yes 1, no 1" in told
    assert (tmp_path / "figure_2.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figure_2.pdf").read_bytes().startswith(b"%PDF")
    page = (tmp_path / "paper.html").read_text()
    assert "Seed 5." in page
    assert "8.071" in page


def test_figures_that_are_there_are_not_replaced_unasked(one_figure, call, tmp_path):
    """Truth: the files themselves."""
    assert call("-o", tmp_path, "-q")[0] == 0
    before = (tmp_path / "figure_2.json").read_bytes()
    code, _, told = call("-o", tmp_path, "-q", "--seed", 9)
    assert code == 2
    assert told.count("\n") == 1
    assert "figure_2.png" in told
    assert (tmp_path / "figure_2.json").read_bytes() == before
    assert call("-o", tmp_path, "-q", "--seed", 9, "--force")[0] == 0
    assert (tmp_path / "figure_2.json").read_bytes() != before


def test_what_is_not_ours_is_not_replaced(one_figure, call, tmp_path):
    """Truth: the file itself."""
    (tmp_path / "claims.csv").write_text("mine")
    code, _, told = call("-o", tmp_path, "-q")
    assert code == 2
    assert "claims.csv" in told
    assert (tmp_path / "claims.csv").read_text() == "mine"


def test_the_same_command_goes_on_where_it_was(one_figure, call, tmp_path, monkeypatch):
    """Truth: a figure that was made is not drawn again, by a program that cannot draw."""
    assert call("-o", tmp_path, "-q", "--figure", 2, "--figure", 2)[0] == 0
    (tmp_path / "paper.html").unlink()
    monkeypatch.setattr(orchestrator, "FIGURES", {2: None})
    code, told, _ = call("-o", tmp_path)
    assert code == 0
    assert "2 claims" in told
    assert (tmp_path / "paper.html").exists()


def test_two_studies_are_not_mixed(one_figure, call, tmp_path, monkeypatch):
    """Truth: one table is of one seed and size."""
    assert call("-o", tmp_path, "-q")[0] == 0
    drawn = orchestrator.FIGURES[2]
    monkeypatch.setattr(orchestrator, "FIGURES", {2: drawn, 3: drawn})
    code, _, told = call("-o", tmp_path, "-q", "--figure", 3, "--quick")
    assert code == 2
    assert "another study" in told


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "other", "claims": []}'])
def test_damaged_figures_are_told_of_before_any_work(one_figure, call, tmp_path, content):
    """Truth: one sentence that names the file."""
    (tmp_path / "figure_2.json").write_text(content)
    code, _, told = call("-o", tmp_path, "-q")
    assert code == 2
    assert told.count("\n") == 1
    assert "figure_2.json" in told


def test_there_are_six_figures(call, tmp_path):
    """Truth: the study."""
    code, _, told = call("--figure", 7, "-o", tmp_path)
    assert code == 2
    assert "--figure" in told


@pytest.mark.slow
def test_all_figures_of_quick_scans(tmp_path):
    """Truth: what the issue of each figure is: all are there, and most claims can be told."""
    claims = orchestrator.make_paper(tmp_path, quick=True, seed=501)
    assert {claim.figure[0] for claim in claims} == set("123456")
    told = [claim for claim in claims if np.isfinite(claim.recovered)]
    assert len(told) > 0.8 * len(claims)


def test_a_folder_that_is_a_file_is_refused(one_figure, tmp_path):
    """Truth: nothing can be written there."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        orchestrator.make_paper(tmp_path / "file")
