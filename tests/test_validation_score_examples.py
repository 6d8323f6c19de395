"""The example pipelines, each against a truth that tells apart what such pipelines get wrong."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from inverse.frame_patterns import patterns_of_frames
from inverse.integration import Integration
from inverse.recipe import Calibration, Profile
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList, load_experiment, load_recipe
from validation.frame_files import write_frames
from validation.laboratory import laboratory
from validation.pipelines.partial import recover_partly
from validation.pipelines.partial_frames import integrated_by
from validation.steps import simulate
from xrdct.framefile import read_frame_scan
from xrdct.instrument import Beam
from xrdct.rawfile import write_raw_scan
from xrdct.scan import Scan

EXAMPLES = Path(__file__).parent.parent / "examples" / "pipelines"
TINY_FRAMES = Path(__file__).parent / "data" / "tiny_frames.toml"
CONTRAST_A = 0.03
"""At least so far apart are the lattice parameters of the two particles."""


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Two uniform particles of different composition, where no turn or mirror takes one another."""
    experiment = Experiment(
        seed=411,
        sample=ParticleList(
            particles=(
                Particle(centre_um=(-6.0, 2.0, 0.0), diameter_um=12.0, x=0.95, strain=5e-4),
                Particle(centre_um=(5.0, 5.0, 0.0), diameter_um=7.0, x=0.6, strain=5e-4),
            )
        ),
        beam=Beam(flux_per_s=1e12),
        scan=Scan(n_offsets=29, step_um=1.0, n_angles=46),
    )
    simulated = simulate(experiment)
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    write_raw_scan(simulated.raw, path)
    return path, simulated.truth


@pytest.fixture
def example(monkeypatch):
    """Import an example as its process does: with its own folder on the path."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    loaded = []

    def load(name):
        loaded.append(name)
        return importlib.import_module(name)

    yield load
    for name in (*loaded, "per_peak"):
        sys.modules.pop(name, None)


def errors_A(a_A, truth):
    asked = truth.eroded & ~truth.two_lattices
    assert len(set(truth.particle[asked])) == 2  # both particles are looked at
    assert np.ptp(truth.a_A[asked]) > CONTRAST_A
    assert np.isfinite(a_A[asked]).all()
    return a_A[asked] - truth.a_A[asked]


# A map turned, mirrored or moved by two voxels takes one particle for the other or for nothing;
# half a channel of 2θ (7e-5 rad) is 5 mÅ at (311). A twentieth of the contrast tells all of these.
LIMIT_A = CONTRAST_A / 20.0


def test_per_peak(scan, example):
    path, truth = scan
    found = example("per_peak").recover(path)
    errors = errors_A(found["a_A"], truth)
    assert np.sqrt(np.mean(errors**2)) < LIMIT_A
    material = truth.eroded & ~truth.two_lattices
    assert (found["a_esd_A"][material] > 0.0).all()
    assert np.nanmedian(found["amount"][material]) == pytest.approx(1.0, abs=0.3)


def test_steps_of_scikit_image_and_of_a_centroid(scan, example):
    path, truth = scan
    steps = example("steps")
    maps = recover_partly(path, stages={"reconstruct": steps.iradon})
    assert np.sqrt(np.mean(errors_A(maps.a_A, truth) ** 2)) < LIMIT_A
    found = recover_partly(path, stages={"refine": steps.centroid})
    # A centre of gravity over so wide a window is noisy and leans on its background.
    assert np.sqrt(np.mean(errors_A(found["a_A"], truth) ** 2)) < 2.0 * LIMIT_A


def test_mean_of_pyfai_gives_the_patterns_of_our_mean(example, tmp_path):
    # Truth: an independent program. Only the sensor's absorption and parallax are corrected by ours
    # alone: less than 1 % of the scale at 10° of 2θ, and a place that the steep flanks notice,
    # which is why channels are compared by their median.
    experiment = load_experiment(TINY_FRAMES)
    place = laboratory(experiment).instrument.geometry
    known = Calibration(profile=Profile(), distance_m=place.distance_m, geometry=place)
    recipe = experiment.recipe.model_copy(
        update={"calibration": known, "integration": Integration(method="mean")}
    )
    scan = Scan(n_offsets=4, step_um=4.0, n_angles=3)
    small = experiment.model_copy(update={"recipe": recipe, "scan": scan, "scans": {}})
    write_frames(small, tmp_path / "scan.h5")
    ours = patterns_of_frames(read_frame_scan(tmp_path / "scan.h5"))
    theirs = integrated_by(example("steps").pyfai_mean, tmp_path / "scan.h5", None)
    both = np.isfinite(ours.counts[0, 0]) & np.isfinite(theirs.counts[0, 0])
    assert both.sum() >= 0.95 * np.isfinite(ours.counts[0, 0]).sum()
    for name in ("counts", "variance"):
        own, other = (getattr(raw, name)[..., both].sum(axis=(0, 1)) for raw in (ours, theirs))
        assert np.median(other / own) == pytest.approx(1.0, abs=0.02)
    own, other = (raw.counts[..., both].sum() for raw in (ours, theirs))
    assert other / own == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["ndtomo", "tomopy"])
def test_what_needs_another_package_runs_or_names_it(scan, example, name):
    path, truth = scan
    module = example(f"{name}_pipeline")
    try:
        importlib.import_module({"ndtomo": "nDTomo.tomo.conv_tomo"}.get(name, name))
    except ImportError:
        with pytest.raises(SystemExit) as told:
            module.recover(path)
        assert module.MISSING in str(told.value)
        pytest.skip(module.MISSING)
    found = module.recover(path)
    assert np.sqrt(np.mean(errors_A(found["a_A"], truth) ** 2)) < 2.0 * LIMIT_A


def test_the_recipe_of_the_study_in_view_differs_from_it_by_truncation_alone():
    # Truth: the recipe of the study, with nothing outside to subtract.
    paper = load_recipe(EXAMPLES.parent / "recipes" / "paper.toml")
    in_view = load_recipe(EXAMPLES / "paper_in_view.toml")
    same = ("phase", "fixed_phases", "n_background", "sinogram", "refine_shared")
    assert all(getattr(paper, name) == getattr(in_view, name) for name in same)
    assert (in_view.truncation.method, in_view.needed_scans) == ("none", ())
