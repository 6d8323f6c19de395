"""The joint method as a recipe asks for it: from raw scans to maps."""

from dataclasses import fields, replace
from functools import lru_cache

import numpy as np
import pytest

import inverse.recover
from forward.settings import Effects
from inverse.joint_fit import JointFit, with_joint_errors
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.refine import Refinement, Status
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Geometry
from xrdct.scan import Scan

JOINT = {"method": "joint"}
ABOUT = {"regrid": True, "rotation_axis": "find"}
MAPS = ("a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction")


@lru_cache(maxsize=1)
def measured():
    """A window of 31 µm within 80 µm, particles inside and outside, coarse and broad scans."""
    places = [(0.0, 0.0), (9.0, 3.0), (-6.0, 8.0), (-5.0, -9.0), (30.0, 5.0), (-12.0, 27.0)]
    gradient = {"core": 0.98, "surface": 0.85}
    particles = [Particle(centre_um=(*xy, 0.0), diameter_um=8.0, x=gradient) for xy in places]
    experiment = Experiment.model_validate({
        "sample": ParticleList(particles=tuple(particles)),
        "scan": Scan(n_offsets=31, step_um=1.0, n_angles=48),
        "scans": {
            "coarse": Scan(n_offsets=29, step_um=3.0, n_angles=30),
            "broad": Scan(n_offsets=25, step_um=6.0, n_angles=24),
        },
        "geometry": Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        "motion": {"jitter_um": 0.05, "encoder_noise_um": 0.01, "axis_offset_um": 0.6},
        "effects": Effects(),
        "seed": 5,
    })  # fmt: skip
    return simulate(experiment)


def recovered(*, others=("coarse", "broad"), progress=None, **sections):
    simulated = measured()
    stored = dict(simulated.raw.recipe) | {"sinogram": ABOUT, "refine_shared": False}
    return recover(
        simulated.raw, others={name: simulated.others[name] for name in others},
        recipe=Recipe.model_validate(stored | sections), progress=progress,
    )  # fmt: skip


@lru_cache(maxsize=1)
def joint_maps():
    return recovered(reconstruction=JOINT)


def rms_mA(maps):
    return 1e3 * lattice_metrics(maps, measured().truth)["interior"]["rms_A"]


def test_maps_are_those_of_the_particles():
    # Truth: the planted gradients of some 20 mÅ, to a fifteenth of a channel. So few particles make
    # no streaks to speak of; that it is better where there are many is another test.
    maps, plain = joint_maps(), recovered()
    assert rms_mA(maps) < 1.0
    hidden = maps.status == Status.NOT_MEASURED
    np.testing.assert_array_equal(hidden, plain.status == Status.NOT_MEASURED)
    known = maps.status == Status.CONVERGED
    assert known.sum() > 100
    assert (maps.a_esd_noise_A[known] > 0.0).all()
    assert (maps.a_esd_total_A[known] >= maps.a_esd_noise_A[known]).all()


def test_all_linked_scans_are_given(monkeypatch):
    # Law: those that there are, the narrower first, after the same steps as the window.
    given = {}

    def stub(window, **arguments):
        given.update(arguments, window=window)
        raise InputError("enough")

    monkeypatch.setattr(inverse.recover, "joint_fit", stub)
    for there in (("coarse", "broad"), ("broad",), ()):
        with pytest.raises(InputError, match="enough"):
            recovered(
                others=there, reconstruction=JOINT, joint={"smoothing_um": 0.7},
                truncation={"width_um": 80.0},
            )  # fmt: skip
        steps_um = [scan.step_um for scan in given["others"]]
        assert steps_um == [measured().others[name].scan.step_um for name in there]
        assert all(s.axis_offset_um == given["window"].axis_offset_um for s in given["others"])
    assert given["settings"].smoothing_um == 0.7
    assert given["width_um"] == 80.0


def test_the_window_alone_will_do():
    # Truth: the planted lattice parameters, to a seventh of a channel.
    maps = recovered(others=(), reconstruction=JOINT, truncation={"width_um": 80.0})
    assert rms_mA(maps) < 2.0


def test_padding_is_not_its_concern():
    # Law: the rays of a window do not end at zero, whatever a recipe for other methods says.
    settings = {"joint": {"smoothing_um": 0.7}, "refine_shared": True}
    plain, zero = (
        recovered(reconstruction=JOINT | {"padding": padding}, **settings)
        for padding in (None, "zero")
    )
    for name in MAPS:
        np.testing.assert_array_equal(getattr(plain, name), getattr(zero, name))


def test_progress_goes_to_its_end():
    told = []
    recovered(
        reconstruction=JOINT, joint={"smoothing_um": 0.7},
        progress=lambda step, share: told.append((step, share)),
    )  # fmt: skip
    shares = [share for step, share in told if step == "refine"]
    assert shares == sorted(shares)
    assert len(shares) > 3
    assert told[-1] == ("refine", 1.0)


def test_total_errors_are_no_less_than_the_halves_show():
    # Definition: c/amount for lattice parameters, c for amounts, where roughness tells no more.
    maps = joint_maps()
    nothing = Refinement(*(np.zeros(0) for _ in fields(Refinement)))
    fit = JointFit(nothing, maps.status == Status.CONVERGED, 2e-3, 0.04, 0.7)
    found = with_joint_errors(maps, fit)
    known = maps.status == Status.CONVERGED
    amount = maps.volume_fraction[known]
    expected = np.maximum(maps.a_esd_total_A[known], 2e-3 / amount)
    np.testing.assert_allclose(found.a_esd_total_A[known], expected)
    assert (found.volume_fraction_esd_total[known] >= 0.04).all()
    for name in ("a_A", "a_esd_noise_A", "status"):
        np.testing.assert_array_equal(getattr(found, name), getattr(maps, name))
    none = replace(fit, lattice_error_A=0.0, amount_error=0.0)
    np.testing.assert_array_equal(
        with_joint_errors(maps, none).a_esd_total_A[known], maps.a_esd_total_A[known]
    )
