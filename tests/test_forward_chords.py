"""Path lengths through particles, against closed forms and plain quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad

from forward.chords import chord_profiles, circle_segment_area_um2
from forward.instrument import TrueInstrument
from forward.settings import Accuracy, Effects
from forward.sinogram import project_angle
from forward.states import REFERENCE_A, state_grid
from phantoms.particle import Particle, RadialLaw
from phantoms.sample import Sample, radial_layers
from phantoms.stoichiometry import lattice
from xrdct.instrument import Beam, Geometry
from xrdct.normal import FWHM_PER_SIGMA

SHARP = Effects(beam_size=False, parallax=False)
BLURRED = Effects(beam_size=True, parallax=False)


def rays_of(sample, *, effects, offsets_um, angle_rad=0.0, accuracy=None, beam=None):
    """Return the state sinogram of one projection, and ln(a) of its states."""
    accuracy = accuracy or Accuracy()
    layers = radial_layers(sample, layer_um=accuracy.layer_um)
    grid = state_grid(sample, layers=layers, spacing=accuracy.state_spacing, margin=0.0)
    truth = TrueInstrument(beam or Beam(), Geometry(), 1.0, 1.0)
    profiles = chord_profiles(
        sample, layers=layers, grid=grid, truth=truth, effects=effects, accuracy=accuracy
    )
    rays = project_angle(
        profiles, centres_um=sample.centres_um, angle_rad=angle_rad, offsets_um=offsets_um,
        n_states=grid.n_states, states_per_um=0.0,
    )  # fmt: skip
    log_a = np.concatenate(
        [
            np.log(REFERENCE_A) + accuracy.state_spacing * (f.first_node + np.arange(f.n_states))
            for f in grid.families
        ]
    )
    return rays, log_a


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.77, 1.0])
def test_segment_area_is_the_integral_of_the_chord(fraction):
    # Truth: numerical quadrature of the chord 2√(R² − t²), good to 1e-10.
    radius = 3.7
    expected, _ = quad(lambda t: 2.0 * np.sqrt(radius**2 - t**2), 0.0, fraction * radius)
    assert circle_segment_area_um2(fraction * radius, radius) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("effects", [SHARP, BLURRED])
@pytest.mark.parametrize("diameter_um", [1.7, 8.0, 19.3])
def test_sum_over_offsets_is_the_area_of_the_slice(effects, diameter_um):
    # Truth: area of a circle; with a beam of finite height, the mean of π(R² − z²) over a Gaussian,
    # which Gauss–Hermite integrates exactly while all nodes lie in the sphere (|z| < 0.61 µm).
    particle = Particle(centre_um=(0.31, -0.2, 0.0), diameter_um=diameter_um, x=0.9, porosity=0.1)
    beam = Beam(height_um=0.5)
    offsets = np.arange(-400, 401) * 0.05
    rays, _ = rays_of(Sample((particle,)), effects=effects, offsets_um=offsets, beam=beam)
    variance = (0.5 / FWHM_PER_SIGMA) ** 2 if effects.beam_size else 0.0
    area = 0.9 * np.pi * ((0.5 * diameter_um) ** 2 - variance)
    # single precision of the profiles, summed over ~100 rays
    assert rays.path_um.sum(dtype=float) * 0.05 == pytest.approx(area, rel=1e-6)


def test_sharp_chord_is_two_root_r2_minus_b2():
    # Truth: closed form. A strip of width δ averages the chord: error δ²/24 · |C''|, and cubic
    # interpolation adds less; away from the edge C'' = −2R²/(R² − b²)^1.5.
    radius = 6.0
    sample = Sample((Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=2 * radius, x=1.0),))
    offsets = np.linspace(-5.0, 5.0, 101)
    rays, _ = rays_of(sample, effects=SHARP, offsets_um=offsets)
    chord = 2.0 * np.sqrt(radius**2 - offsets**2)
    curvature = 2.0 * radius**2 / (radius**2 - offsets**2) ** 1.5
    bound = 2.0 * 0.1**2 / 24.0 * curvature + 1e-5
    assert np.all(np.abs(rays.path_um.sum(axis=1) - chord) < bound)


def test_off_centre_slice_has_the_smaller_circle():
    # Truth: a slice at height z through a sphere is a circle of radius √(R² − z²).
    sample = Sample((Particle(centre_um=(0.0, 0.0, 3.0), diameter_um=10.0, x=1.0),))
    rays, _ = rays_of(sample, effects=SHARP, offsets_um=np.array([0.0, 1.0]))
    assert rays.path_um.sum(axis=1)[0] == pytest.approx(8.0, abs=1e-3)


@pytest.mark.parametrize("b_um", [0.0, 2.0, 4.4, 5.0, 5.6])
def test_beam_blurs_the_chord_across_and_along_the_axis(b_um):
    # Truth: quadrature of the chord over a Gaussian beam in both directions.
    radius, beam = 5.0, Beam(width_um=1.0, height_um=0.6)
    sigma_t, sigma_z = beam.width_um / FWHM_PER_SIGMA, beam.height_um / FWHM_PER_SIGMA
    t = np.linspace(-5 * sigma_t, 5 * sigma_t, 4001)
    z = np.linspace(-5 * sigma_z, 5 * sigma_z, 801)
    weight = np.exp(-0.5 * (t / sigma_t) ** 2)[:, None] * np.exp(-0.5 * (z / sigma_z) ** 2)
    chord = 2.0 * np.sqrt(np.maximum(radius**2 - (b_um + t[:, None]) ** 2 - z**2, 0.0))
    expected = (weight * chord).sum() / weight.sum()
    sample = Sample((Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=2 * radius, x=1.0),))
    rays, _ = rays_of(
        sample, effects=BLURRED, offsets_um=np.array([b_um, b_um + 1.0]), beam=beam,
        accuracy=Accuracy(n_heights=16),
    )  # fmt: skip
    # tolerance: the profile's grid of a tenth of the width, fourth order: (0.1)^4 of R
    assert rays.path_um.sum(axis=1)[0] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("b_um", [0.5, 3.0, 6.0])
def test_mean_lattice_along_a_ray_is_that_of_the_radial_law(b_um):
    # Truth: quadrature of a(r(s)) along the ray. Linear mixing of states keeps the mean of ln a
    # exactly; what remains is the layers' thickness, whose error is second order, (0.1 µm)²·a''.
    radius, law = 8.0, RadialLaw(core=1.0, surface=0.8)
    sample = Sample((Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=2 * radius, x=law),))
    rays, log_a = rays_of(sample, effects=SHARP, offsets_um=np.array([b_um, b_um + 1.0]))
    path = rays.path_um[0].astype(float)
    half = np.sqrt(radius**2 - b_um**2)

    def a_at(s):
        x = law.at(np.sqrt(b_um**2 + s**2) / radius)
        return float(np.log(lattice(x, y=0.0).a_low_A))

    expected = quad(a_at, 0.0, half)[0] / half
    # a change of 4.5 mÅ/µm over a strip of 0.1 µm leaves at most 0.02 mÅ
    assert path @ log_a / path.sum() == pytest.approx(expected, abs=2e-5 / REFERENCE_A)


def test_particles_add_and_rotate():
    # Law: the projection of two particles is the sum of theirs; turning the sample by δ and the
    # scan by δ changes nothing.
    first = Particle(centre_um=(7.0, 1.0, 0.3), diameter_um=9.0, x=0.9)
    second = Particle(centre_um=(-6.0, -4.0, -1.0), diameter_um=7.0, x=0.9)
    offsets = np.arange(-15.0, 16.0)
    both, _ = rays_of(Sample((first, second)), effects=BLURRED, offsets_um=offsets)
    alone = [
        rays_of(Sample((p,)), effects=BLURRED, offsets_um=offsets)[0].path_um.sum(axis=1)
        for p in (first, second)
    ]
    np.testing.assert_allclose(both.path_um.sum(axis=1), sum(alone), atol=1e-5)

    turn = 0.7
    turned = Sample(
        tuple(
            p.model_copy(
                update={
                    "centre_um": (
                        p.centre_um[0] * np.cos(turn) - p.centre_um[1] * np.sin(turn),
                        p.centre_um[0] * np.sin(turn) + p.centre_um[1] * np.cos(turn),
                        p.centre_um[2],
                    )
                }
            )
            for p in (first, second)
        )
    )
    again, _ = rays_of(turned, effects=BLURRED, offsets_um=offsets, angle_rad=turn)
    np.testing.assert_allclose(again.path_um, both.path_um, atol=2e-5)
