"""The chain that a recipe switches on: each step as if called by hand, in the order told."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

import inverse.direct
import inverse.recover
from forward.settings import Effects
from inverse.absorption import attenuation_map, corrected_for_absorption
from inverse.chain import prepared_sinogram
from inverse.completion import CompletionWarning, amount_of, completed
from inverse.drift import drift
from inverse.interlace import at_half_steps
from inverse.positions import on_set_points
from inverse.recipe import Recipe
from inverse.recipe_steps import SinogramSteps
from inverse.recover import recover
from inverse.refine import Status
from inverse.rotation_axis import rotation_axis
from inverse.sinogram import Sinogram, sinogram_of
from inverse.stripes import without_stripes
from inverse.surroundings import air_pattern, without_constant
from inverse.truncation import without_outside
from inverse.volume import volume_of
from inverse.zingers import without_zingers
from phantoms.particle import Particle
from validation.experiment import Experiment, ParticleList
from validation.metrics import lattice_metrics
from validation.steps import simulate
from xrdct.errors import InputError
from xrdct.instrument import Geometry
from xrdct.scan import Scan

AXIS_UM = 0.6
GRADIENT = {"core": 0.98, "surface": 0.85}
MAPS = ("a_A", "a_esd_noise_A", "volume_fraction", "volume_fraction_esd_noise", "chi2_reduced")


def experiment_of(scan, **others):
    """Particles within 80 µm, jittering stages, an axis off the middle."""
    places = [(0.0, 0.0), (9.0, 3.0), (-6.0, 8.0), (-5.0, -9.0), (30.0, 5.0), (-12.0, 27.0)]
    particles = [Particle(centre_um=(*xy, 0.0), diameter_um=8.0, x=GRADIENT) for xy in places]
    return Experiment.model_validate({
        "sample": ParticleList(particles=tuple(particles)),
        "scan": scan,
        "scans": others,
        "geometry": Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        "motion": {"jitter_um": 0.05, "encoder_noise_um": 0.01, "axis_offset_um": AXIS_UM},
        "effects": Effects(),
        "seed": 5,
    })  # fmt: skip


@lru_cache(maxsize=1)
def measured():
    """A window of 31 µm in them, and the coarse and broad scans; half a second."""
    return simulate(
        experiment_of(
            Scan(n_offsets=31, step_um=1.0, n_angles=48),
            coarse=Scan(n_offsets=29, step_um=3.0, n_angles=30),
            broad=Scan(n_offsets=25, step_um=6.0, n_angles=24),
        )
    )


def recipe(**sections):
    return Recipe.model_validate(dict(measured().raw.recipe) | sections)


def prepared(**sections):
    simulated = measured()
    return prepared_sinogram(simulated.raw, others=simulated.others, recipe=recipe(**sections))


def recovered(raw=None, **sections):
    simulated = measured()
    return recover(raw or simulated.raw, others=simulated.others, recipe=recipe(**sections))


def by_hand(name=None):
    simulated = measured()
    raw = simulated.others[name] if name else simulated.raw
    return sinogram_of(raw, distance_m=recipe().calibration.distance_m)


def regridded(name=None):
    simulated = measured()
    readings = (simulated.others[name] if name else simulated.raw).readings
    return on_set_points(
        by_hand(name), offsets_um=readings.encoder_offset_um,
        rotations_rad=readings.encoder_rotation_rad,
    )  # fmt: skip


def equal(one, other):
    arrays = ("values", "variance", "transmission", "angles_rad", "two_theta_rad")
    for name in arrays:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("step_um", "axis_offset_um", "distance_m"):
        assert getattr(one, name) == getattr(other, name)


def test_a_sinogram_in_between_changes_nothing():
    # Law: the same linear operator on the same numbers. The gain multiplies counts in another order
    # of single precision, a relative 1e-7 of a value; where streaks cancel, voxels are small sums
    # of large terms, so that is measured against the uncertainty, of which it is a thousandth.
    plain, held = recovered(), recovered(sinogram={"rotation_axis": 0.0})
    np.testing.assert_array_equal(plain.status, held.status)
    known = plain.status == Status.CONVERGED
    assert known.sum() > 100
    for name, esd in (("a_A", "a_esd_noise_A"), ("volume_fraction", "volume_fraction_esd_noise")):
        change = np.abs(getattr(plain, name) - getattr(held, name))[known]
        assert (change / getattr(plain, esd)[known]).max() < 1e-3
    assert set(held.timing_s) == set(plain.timing_s) == {"correct", "reconstruct", "refine"}


def test_every_step_is_the_function_of_its_name():
    # Truth: the functions called by hand.
    equal(prepared(sinogram={"regrid": True}), regridded())
    equal(
        prepared(sinogram={"zingers_sigma": 5.0}),
        without_zingers(by_hand(), threshold_sigma=5.0)[0],
    )
    equal(prepared(sinogram={"stripes": "gains"}), without_stripes(by_hand()))
    equal(prepared(sinogram={"rotation_axis": 1.5}), replace(by_hand(), axis_offset_um=1.5))
    axis_um = rotation_axis(regridded(), search_um=3.0).offset_um
    steps = {"regrid": True, "rotation_axis": "find", "axis_search_um": 3.0}
    equal(prepared(sinogram=steps), replace(regridded(), axis_offset_um=axis_um))


def test_without_readings_the_set_points_hold():
    raw = replace(measured().raw, readings=None)
    steps = recipe(sinogram={"regrid": True})
    equal(prepared_sinogram(raw, others={}, recipe=steps), by_hand())


def test_encoders_and_drift_are_interpolated_once():
    # Truth: one interpolation of the untouched rays, from encoder readings less the drift.
    readings = measured().raw.readings
    found = drift(regridded(), times_s=readings.time_s, degree=2)
    once = on_set_points(
        by_hand(), offsets_um=readings.encoder_offset_um - found.displacement_um[:, None],
        rotations_rad=readings.encoder_rotation_rad,
    )  # fmt: skip
    steps = {"regrid": True, "rotation_axis": "find", "drift_terms": 2}
    equal(prepared(sinogram=steps), replace(once, axis_offset_um=found.axis_offset_um))


def test_air_and_absorption_go_before_what_lies_outside():
    # Truth: the order of the module's text, by hand, with the broad scan as the widest. All scans
    # are about the axis of the first.
    axis_um = 0.25
    scans = [replace(regridded(name), axis_offset_um=axis_um) for name in (None, "coarse", "broad")]
    air = air_pattern(scans[2])
    scans = [without_constant(scan, air) for scan in scans]
    map_ = attenuation_map(scans[2])
    own, coarse, broad = (corrected_for_absorption(scan, attenuation=map_) for scan in scans)
    expected = without_outside(own, coarse=coarse, broad=broad, parallax=False, filter_name="hann")
    found = prepared(
        sinogram={"regrid": True, "rotation_axis": axis_um, "absorption": True},
        truncation={"method": "coarse", "use_broad": True, "parallax": False, "air": True},
        reconstruction={"filter": "hann"},
    )
    equal(found, expected)


def test_completed_projections_have_the_amount_of_the_broad_scan():
    cut = {"method": "complete", "width_um": 80.0, "use_broad": True}
    with pytest.warns(CompletionWarning):
        found = prepared(truncation=cut)
    with pytest.warns(CompletionWarning):
        expected = completed(by_hand(), width_um=80.0, amount=amount_of(by_hand("broad")))
    equal(found, expected)


def test_completed_projections_leave_the_field_of_view_as_it_was():
    # Law: what was made up beyond the window is no measurement of what lies there.
    with pytest.warns(CompletionWarning):
        maps = recovered(truncation={"method": "complete", "width_um": 80.0})
    hidden = maps.status == Status.NOT_MEASURED
    np.testing.assert_array_equal(hidden, recovered().status == Status.NOT_MEASURED)


def rms_mA(maps):
    return 1e3 * lattice_metrics(maps, measured().truth)["interior"]["rms_A"]


def test_axis_and_surroundings_make_the_maps_better():
    # Truth: the planted gradients. An axis wrong by 0.6 of a pixel smears them, and matter outside
    # streaks.
    plain = rms_mA(recovered())
    about = {"regrid": True, "rotation_axis": "find"}
    found = rms_mA(recovered(sinogram=about))
    corrected = rms_mA(recovered(sinogram=about, truncation={"method": "coarse"}))
    assert corrected < found < plain


def test_axis_is_found_where_it_was_put():
    # The true offset t′ = t + t_axis: the axis is seen at −t_axis. Asked of the chain: 0.05 µm.
    steps = {"regrid": True, "rotation_axis": "find"}
    assert abs(prepared(sinogram=steps).axis_offset_um + AXIS_UM) < 0.05


def images(**sections):
    made = recipe(**sections)
    return volume_of(by_hand(), recipe=made, n_offsets=31, beam_fwhm_um=0.0)


def test_padding_is_zero_where_the_outside_was_dealt_with():
    sinogram = by_hand()

    def volume(**sections):
        return volume_of(sinogram, recipe=recipe(**sections), n_offsets=31, beam_fwhm_um=0.0).values

    zero = volume(reconstruction={"padding": "zero"})
    edge = volume(reconstruction={"padding": "edge"})
    np.testing.assert_array_equal(volume(), edge)
    np.testing.assert_array_equal(volume(truncation={"method": "coarse"}), zero)
    assert np.nanmax(np.abs(zero - edge)) > 0.0


def test_a_backend_gives_images_and_our_back_projection_their_variance():
    own, other = images(), images(reconstruction={"backend": "scikit-image"})
    np.testing.assert_array_equal(other.variance, own.variance)
    np.testing.assert_array_equal(np.isnan(other.values), np.isnan(own.values))
    assert not np.array_equal(other.values, own.values)
    # Its contract test holds it to ours; here it only must be the same image.
    seen = np.isfinite(own.values)
    assert np.corrcoef(other.values[seen], own.values[seen])[0, 1] > 0.99


def test_a_backend_sees_projections_end_at_zero():
    # Law: zero padding of a sinogram is edge padding of one with a ray of zeros on either side.
    cut = {"method": "coarse"}
    found = images(truncation=cut, reconstruction={"backend": "scikit-image"}).values
    own, edge = images(truncation=cut).values, images().values
    seen = np.isfinite(own)
    assert np.abs(found - own)[seen].mean() < 0.5 * np.abs(edge - own)[seen].mean()


def test_a_backend_must_be_there_and_have_the_method():
    with pytest.raises(InputError, match="backend must be one of those installed"):
        images(reconstruction={"backend": "nobody"})
    with pytest.raises(InputError, match="method must be one of fbp, sart, not 'sirt'"):
        images(reconstruction={"backend": "scikit-image", "method": "sirt"})


@pytest.mark.parametrize(("method", "iterations"), [("sirt", 30), ("cgls", None), ("poisson", 6)])
def test_iterative_methods_reconstruct_the_particles(method, iterations):
    # Truth: the planted lattice parameter. The grid holds all of the sample. With noise and few
    # iterations none is exact; 3 mÅ is a fifth of a channel.
    maps = recovered(
        sinogram={"regrid": True, "rotation_axis": "find"},
        truncation={"width_um": 80.0},
        reconstruction={"method": method, "iterations": iterations},
    )
    figures = lattice_metrics(maps, measured().truth)["interior"]
    assert figures["n_voxels"] > 50
    assert figures["rms_A"] < 3e-3
    known = maps.status == Status.CONVERGED
    assert (maps.a_esd_noise_A[known] > 0.0).all()


def test_coefficients_lose_nothing_of_a_fit():
    # Claim of the basis: no parameter moves by more than the lost share (2 %) of the misfit in esd;
    # the weights of a fit of coefficients are those of the mean variance, which moves it by less
    # than noise does. Widths are not refined, so that both fit the same shapes.
    plain = recovered(refine_shared=False)
    few = recovered(refine_shared=False, reconstruction={"compress": True})
    both = (plain.status == Status.CONVERGED) & (few.status == Status.CONVERGED)
    full = both & (plain.volume_fraction > 0.5)
    assert full.sum() > 50
    apart = (few.a_A - plain.a_A)[full] / plain.a_esd_noise_A[full]
    assert np.sqrt(np.mean(apart**2)) < 1.0
    assert few.example is None


def test_rays_can_be_refined_first():
    # Truth: the planted lattice parameter; moments count what streaks, so the bound is wide.
    maps = recovered(
        sinogram={"regrid": True, "rotation_axis": "find"}, truncation={"method": "coarse"},
        reconstruction={"order": "refine-first"},
    )  # fmt: skip
    assert rms_mA(maps) < 5.0


def test_the_direct_method_starts_from_back_projection(monkeypatch):
    # Truth: the maps that the same recipe has with filtered back projection, and its sinogram.
    given = {}

    def stub(sinogram, **arguments):
        given.update(arguments, sinogram=sinogram)
        arguments["progress"](0.5)
        moved = replace(arguments["start"], a_A=arguments["start"].a_A + 1.0)
        return moved, sinogram.axis_offset_um + 0.25

    axes_um = []
    rays_of = inverse.recover.rays_of_sinogram

    def noted(sinogram, **settings):
        axes_um.append(sinogram.axis_offset_um)
        return rays_of(sinogram, **settings)

    monkeypatch.setattr(inverse.direct, "direct", stub)
    monkeypatch.setattr(inverse.recover, "rays_of_sinogram", noted)
    about = {"regrid": True, "rotation_axis": "find"}
    settings = {"n_iterations": 7}
    told = []
    simulated = measured()
    wanted = recipe(sinogram=about, reconstruction={"method": "direct"}, direct=settings)
    maps = recover(
        simulated.raw, others=simulated.others, recipe=wanted,
        progress=lambda step, share: told.append((step, share)),
    )  # fmt: skip
    # Regions of the maps are those about the axis that these have, and tell.
    assert axes_um == [maps.axis_offset_um] == [given["sinogram"].axis_offset_um + 0.25]
    start = recovered(sinogram=about)
    for name in MAPS:
        np.testing.assert_array_equal(getattr(given["start"], name), getattr(start, name))
    np.testing.assert_array_equal(maps.a_A, start.a_A + 1.0)
    equal(given["sinogram"], prepared(sinogram=about))
    assert isinstance(given["surroundings"], Sinogram)
    assert given["surroundings"].step_um == simulated.others["coarse"].scan.step_um
    assert given["settings"].n_iterations == 7
    assert given["beam_fwhm_um"] == simulated.raw.beam.width_um
    assert (maps.recipe, maps.shared) == (wanted, start.shared)
    assert set(maps.timing_s) == {"correct", "reconstruct", "refine"}
    assert ("refine", 0.5) in told
    assert told[-1] == ("refine", 1.0)


@pytest.mark.parametrize(
    ("cut", "there", "name"),
    [
        ({"method": "coarse"}, ("broad",), "coarse"),
        ({"method": "coarse", "use_broad": True}, ("coarse",), "broad"),
        ({"method": "complete", "use_broad": True}, (), "broad"),
    ],
)
def test_scans_that_are_not_there_are_asked_for(cut, there, name):
    simulated = measured()
    others = {other: simulated.others[other] for other in there}
    with pytest.raises(InputError, match=f"needs a linked scan named {name}, but there is"):
        recover(simulated.raw, others=others, recipe=recipe(truncation=cut))


@lru_cache(maxsize=1)
def measured_interlaced():
    """As above, window and coarse scan interlaced over 360°."""
    turn = {"angle_range_deg": 360.0, "interlaced": True}
    scan = Scan(n_offsets=15, step_um=2.0, n_angles=50, **turn)
    coarse = Scan(n_offsets=15, step_um=6.0, n_angles=30, **turn)
    return simulate(experiment_of(scan, coarse=coarse))


def test_an_interlaced_scan_is_merged_from_where_its_rays_passed():
    # Truth: the functions called by hand, with encoder offsets less the drift and about the axis
    # that rays at common set-points show.
    simulated = measured_interlaced()
    raw = simulated.raw
    made = Recipe.model_validate(dict(raw.recipe))
    whole = sinogram_of(raw, distance_m=made.calibration.distance_m)
    turned = replace(whole, angles_rad=raw.readings.encoder_rotation_rad)
    placed = on_set_points(turned, offsets_um=raw.readings.encoder_offset_um)
    found = drift(placed, times_s=raw.readings.time_s, degree=1)
    expected = at_half_steps(
        replace(turned, axis_offset_um=found.axis_offset_um),
        offsets_um=raw.readings.encoder_offset_um - found.displacement_um[:, None],
    )
    steps = {"regrid": True, "rotation_axis": "find", "drift_terms": 1}
    wanted = made.model_copy(update={"sinogram": SinogramSteps(**steps)})
    equal(prepared_sinogram(raw, others={}, recipe=wanted), expected)
    # Without encoders it is the set-points that tell, and the axis is in the middle.
    merged = at_half_steps(whole, offsets_um=raw.scan.projection_offsets_um)
    equal(prepared_sinogram(raw, others={}, recipe=made), merged)
    assert (merged.values.shape[:2], merged.step_um) == ((25, 29), 1.0)


def test_surroundings_may_be_interlaced():
    # Truth: both merged by hand, seen from infinitely far.
    simulated = measured_interlaced()
    made = Recipe.model_validate(
        dict(simulated.raw.recipe) | {"truncation": {"method": "coarse", "parallax": False}}
    )
    scans = [
        at_half_steps(
            sinogram_of(raw, distance_m=made.calibration.distance_m),
            offsets_um=raw.scan.projection_offsets_um,
        )
        for raw in (simulated.raw, simulated.others["coarse"])
    ]
    expected = without_outside(scans[0], coarse=scans[1], parallax=False)
    found = prepared_sinogram(simulated.raw, others=simulated.others, recipe=made)
    equal(found, expected)
    assert found.distance_m == np.inf
    maps = recover(simulated.raw, others=simulated.others, recipe=made)
    assert (maps.scan.n_offsets, maps.scan.step_um) == (29, 1.0)
    assert lattice_metrics(maps, simulated.truth)["interior"]["rms_A"] < 5e-3
