"""Laws that hold for any sample, searched with hypothesis: all effects on unless said otherwise."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from forward.instrument import Unknowns, true_instrument
from forward.projection import expected_projection
from forward.settings import Accuracy, Effects
from forward.virtual import prepare
from phantoms.packing import overlapping_pair
from phantoms.particle import Particle, RadialLaw, Shell
from phantoms.sample import Sample
from xrdct.instrument import Beam, Detector, Geometry
from xrdct.scan import Scan

BEAM, DETECTOR = Beam(), Detector()
GEOMETRY = Geometry(n_channels=128, two_theta_min_deg=2.5, two_theta_max_deg=7.5)
SCAN = Scan(n_offsets=25, step_um=1.5, n_angles=4)
ALL = Effects(noise=False)
COARSE = Accuracy(state_spacing=1e-3, layer_um=0.2)  # the laws hold at any accuracy

coordinates = st.floats(-12.0, 12.0)
fillings = st.floats(0.0, 1.0)


@st.composite
def particles(draw):
    """A particle of any composition within the law's range, perhaps with a shell."""
    excess = draw(st.sampled_from([0.0, 0.03, 0.10]))
    core, surface = (3 * excess + draw(fillings) * (1 - 3 * excess) for _ in range(2))
    shells = ()
    if draw(st.booleans()):
        weight = draw(st.floats(0.01, 1.0))
        shells = (Shell(phase="Li2MnO3", thickness_um=1.0, weight_fraction=weight),)
    return Particle(
        centre_um=(draw(coordinates), draw(coordinates), draw(st.floats(-2.0, 2.0))),
        diameter_um=draw(st.floats(3.0, 9.0)),
        x=RadialLaw(core=core, surface=surface),
        y=excess,
        shells=shells,
        porosity=draw(st.floats(0.0, 0.5)),
    )


@st.composite
def samples(draw, *, least=1):
    """One to three particles that do not overlap."""
    chosen = draw(st.lists(particles(), min_size=least, max_size=3))
    centres = np.array([p.centre_um for p in chosen])
    diameters = np.array([p.diameter_um for p in chosen])
    assume(overlapping_pair(centres, diameters, tolerance_um=0.0) is None)
    return tuple(chosen)


def expected(chosen, *, angle_rad, effects=ALL, flux_per_s=1e11):
    beam = Beam(flux_per_s=flux_per_s)
    truth = true_instrument(Unknowns(), beam=beam, detector=DETECTOR, geometry=GEOMETRY, seed=0)
    virtual = prepare(
        Sample(tuple(chosen)), beam=beam, detector=DETECTOR, geometry=GEOMETRY, truth=truth,
        effects=effects, accuracy=COARSE, workers=1,
    )  # fmt: skip
    return expected_projection(virtual, scan=SCAN, angle_rad=angle_rad)


def turned(particle, angle_rad):
    x, y, z = particle.centre_um
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return particle.model_copy(update={"centre_um": (x * cos - y * sin, x * sin + y * cos, z)})


@given(chosen=samples(), angle=st.floats(0.0, 3.0), turn=st.floats(-3.0, 3.0))
@settings(max_examples=20)
def test_rotating_the_sample_is_rotating_the_scan(chosen, angle, turn):
    # Law: t = x cos ω + y sin ω is unchanged when sample and scan turn together. Chord profiles are
    # in single precision: 1e-6 of the largest count, a few of which add up.
    here = expected(chosen, angle_rad=angle)
    there = expected([turned(p, turn) for p in chosen], angle_rad=angle + turn)
    np.testing.assert_allclose(there.counts, here.counts, atol=1e-5 * here.counts.max())
    np.testing.assert_allclose(there.transmitted, here.transmitted, rtol=1e-6)


@given(chosen=samples(), factor=st.floats(1e-3, 1e3), angle=st.floats(0.0, 3.0))
@settings(max_examples=15)
def test_scaling_the_flux_scales_the_counts(chosen, factor, angle):
    # Law: expected counts are proportional to the photons. Single precision.
    one = expected(chosen, angle_rad=angle)
    other = expected(chosen, angle_rad=angle, flux_per_s=1e11 * factor)
    np.testing.assert_allclose(other.counts, one.counts * factor, rtol=2e-6)
    np.testing.assert_allclose(other.transmitted, one.transmitted * factor, rtol=1e-12)


@given(chosen=samples(least=2), angle=st.floats(0.0, 3.0))
@settings(max_examples=20)
def test_two_samples_add(chosen, angle):
    # Law: with nothing absorbed and no air, expected patterns of parts add up; with absorption,
    # transmissions multiply.
    additive = Effects(noise=False, attenuation=False, diffuse=False)
    whole = expected(chosen, angle_rad=angle, effects=additive).counts
    parts = [expected([p], angle_rad=angle, effects=additive).counts for p in chosen]
    np.testing.assert_allclose(sum(parts), whole, atol=2e-5 * whole.max())
    photons = 1e11 * SCAN.exposure_s
    product = np.prod(
        [expected([p], angle_rad=angle).transmitted / photons for p in chosen], axis=0
    )
    np.testing.assert_allclose(
        expected(chosen, angle_rad=angle).transmitted / photons, product, rtol=1e-6
    )


@given(chosen=samples(), angle=st.floats(0.0, 3.0))
@settings(max_examples=15)
def test_rays_that_miss_the_sample_see_air_alone(chosen, angle):
    # Law: an empty ray gives only background. Rays further from every particle than its radius and
    # the beam's tail (five sigma and the interpolation's reach).
    seen = expected(chosen, angle_rad=angle)
    empty = expected([], angle_rad=angle)
    across = [p.centre_um[0] * np.cos(angle) + p.centre_um[1] * np.sin(angle) for p in chosen]
    missed = np.ones(SCAN.n_offsets, bool)
    for particle, t in zip(chosen, across, strict=True):
        missed &= np.abs(SCAN.offsets_um - t) > particle.radius_um + 3.0
    np.testing.assert_array_equal(seen.counts[missed], empty.counts[missed])
