"""Predicted biases and streaks against closed forms and scalar reconstructions."""

import numpy as np
import pytest

from forward.settings import Effects
from inverse.recipe import Recipe
from inverse.recipe_steps import Truncation
from inverse.reconstruct import filtered_back_projection
from phantoms.particle import Particle
from phantoms.sample import Sample
from phantoms.shape import RoughOutline
from validation.predicted_images import waves
from validation.predicted_outside import outside_of
from validation.predicted_slice import drawn, raster
from validation.predicted_streaks import Spectrum, distinct_angles, spectrum_of, streak_variance
from validation.predicted_transfer import Transfer
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA
from xrdct.scan import Scan

THIN = Transfer((), step_um=1.0)
THIN_BEAM = {"beam": Beam(), "effects": Effects(beam_size=False)}


def blobs(rng, *, n, radius_um):
    """Places of equal blobs, spread over a disc."""
    r, phi = radius_um * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    return r * np.cos(phi), r * np.sin(phi)


def reconstructed(x_um, y_um, *, sigma_um, scan, size):
    """Reconstruct Gaussian blobs of unit content, whose projections are Gaussians."""
    angles = scan.angles_rad
    sinogram = np.zeros((angles.size, scan.n_offsets))
    for k, angle in enumerate(angles):
        across = x_um * np.cos(angle) + y_um * np.sin(angle)
        distance = (scan.offsets_um[:, None] - across) / sigma_um
        sinogram[k] = np.exp(-0.5 * distance**2).sum(axis=1) / (np.sqrt(2 * np.pi) * sigma_um)
    image = filtered_back_projection(
        sinogram[:, :, None], angles_rad=angles, step_um=scan.step_um, padding="zero"
    ).values[:, :, 0]
    edge = (scan.n_offsets - size) // 2
    return image[edge : edge + size, edge : edge + size].astype(float)


# The slice


def test_particles_off_the_slice_and_the_view_are_not_drawn_and_not_missed():
    # Law: what no height and no pixel meets adds nothing, to the last bit; by hand: the beam's
    # heights are 0 and ±0.74 µm, the image reaches to 10 µm.
    inside = Particle(centre_um=(1.0, 2.0, 3.0), diameter_um=7.0, x=0.9)
    touching = Particle(centre_um=(-11.0, 0.0, 0.0), diameter_um=4.0, x=0.93)
    above = Particle(centre_um=(0.0, -6.0, 3.8), diameter_um=6.0, x=0.9)
    beside = Particle(centre_um=(14.0, 0.0, 0.0), diameter_um=7.0, x=0.9)
    given = {"size": 40, "pixel_um": 0.5, "height_um": 1.0, "workers": 1}
    every = Sample((above, inside, beside, touching))
    levels_um = np.array([-0.74, 0.0, 0.74])
    assert drawn(every, half_um=10.0, levels_um=levels_um).tolist() == [1, 3]
    all_of_it, some = raster(every, **given), raster(Sample((inside, touching)), **given)
    for one, other in zip([*all_of_it[:3], *all_of_it[3]], [*some[:3], *some[3]], strict=True):
        assert np.array_equal(one, other)
    assert all_of_it[0].sum() > 0.0


def test_bodies_that_are_no_spheres_are_refused():
    rough = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=9.0, outline=RoughOutline())
    with pytest.raises(InputError, match=r"layered spheres only, but particles\[0\] .* is none"):
        raster(Sample((rough,)), size=20, pixel_um=1.0, height_um=0.0, workers=1)


# Transfer function


def test_transfer_is_the_product_of_known_blurs():
    # Closed form: below ½ per step the ramp is |ν|, interpolation sinc², the beam its Gaussian.
    # A filter of 4096 taps misses 1/(4096 π²) = 2.5e-5 of the ramp at frequency zero.
    per_um = np.array([0.0, 0.05, 0.2, 0.45])
    beam = Transfer(((1.0, 1.2),), step_um=1.0)
    gauss = np.exp(-2 * (np.pi * per_um * 1.2 / FWHM_PER_SIGMA) ** 2)
    assert beam.coherent(per_um) == pytest.approx(gauss * np.sinc(per_um) ** 2, rel=1e-4)
    hann = Transfer((), step_um=1.0, filter_name="hann").ramp(per_um)
    assert hann == pytest.approx(per_um * np.cos(np.pi * per_um) ** 2, abs=3e-5)


def test_power_is_that_of_interpolation_at_random_places():
    # Closed form: a wave read by linear interpolation at a random fraction keeps the share
    # (2 + cos 2πν)/3 of its power. Nine images hold all but 2e-5 of it, and the table of the ramp
    # is interpolated over a rounded end at ½, 2e-4 of it.
    per_um = np.array([0.1, 0.3, 0.5])
    expected = per_um**2 * (2 + np.cos(2 * np.pi * per_um)) / 3
    assert THIN.power(per_um) == pytest.approx(expected, rel=1e-3)


def test_a_blurred_blob_is_the_reconstruction_of_it():
    # Truth: filtered back projection of the blob's closed projections, with angles enough. Its
    # interpolation is that of rays at all places, right on average over angles: the images that do
    # not add up are some (1 − 0.9)/√200 of the blob, 2 % at most. The blur itself takes 10 %.
    scan = Scan(n_offsets=61, step_um=1.0, n_angles=200)
    x, y = np.array([3.3]), np.array([-2.7])
    image = reconstructed(x, y, sigma_um=1.3, scan=scan, size=61)
    seen = np.isfinite(image)
    place = scan.offsets_um
    field = np.exp(-0.5 * ((place[None, :] - x) ** 2 + (place[:, None] - y) ** 2) / 1.3**2)
    field /= 2 * np.pi * 1.3**2
    point = waves(n=61, pixel_um=1.0, transfer=THIN)
    # Values of the field are points here, not means over pixels.
    own = np.sinc(point.across_per_um) * np.sinc(point.down_per_um)
    shown = np.fft.irfft2(np.fft.rfft2(field) * point.transfer * own, s=(61, 61))
    top = image[seen].max()
    assert np.abs(shown - image)[seen].max() < 0.02 * top
    assert np.abs(field - image)[seen].max() > 0.05 * top  # there was something to predict


# Parallax


def test_parallax_of_a_small_body_and_of_a_centred_disc():
    # Closed forms: −(2/π) x in the middle of a body at (x, y), and zero all over a disc about the
    # axis. Pixels round the discs' edges by a part in their radius.
    n = 301
    place = np.arange(n) - 150.0
    image = waves(n=n, pixel_um=1.0, transfer=THIN)
    for x, y in ((60.0, 0.0), (-45.0, 40.0), (0.0, 70.0)):
        disc = (np.hypot(place[None, :] - x, place[:, None] - y) <= 8.0).astype(float)
        found = image.displaced(disc)[int(y) + 150, int(x) + 150]
        assert found == pytest.approx(-2 / np.pi * x, abs=1.5)
    centred = (np.hypot(place[None, :], place[:, None]) <= 100.0).astype(float)
    inside = np.hypot(place[None, :], place[:, None]) <= 80.0
    assert np.abs(image.displaced(centred)[inside]).max() < 2.0


# Streaks


def test_the_spectrum_of_white_noise_is_flat():
    # Closed form: independent pixels of variance v have the density v · area of a pixel. A mean
    # over some 15,000 frequencies, each exponentially distributed.
    rng = np.random.default_rng(5)
    image = waves(n=256, pixel_um=0.5, transfer=THIN)
    field = 3.0 * rng.normal(size=(256, 256))
    found = spectrum_of(image.power(field), waves=image, area_um2=(256 * 0.5) ** 2)
    weights = found.per_um
    density = np.average(found.density, weights=weights)
    assert density == pytest.approx(9.0 * 0.25, rel=6 / np.sqrt(15000))


@pytest.mark.parametrize(("n_angles", "turn_deg"), [(20, 180.0), (40, 180.0), (80, 360.0)])
def test_streaks_of_random_blobs_are_the_predicted_ones(n_angles, turn_deg):
    # Truth: filtered back projection of closed projections, less that of many more angles. Blobs
    # of content 1, n to the area, have the density n exp(−(2πσν)²). A mean over 31 × 31 pixels,
    # of which about one in four is independent, and over three draws: √(1/(2·720)) = 3 %; the
    # number of aliases and of blobs near each pixel vary; 15 % are allowed, 5 σ.
    rng = np.random.default_rng(6)
    sigma, radius, n = 0.7, 60.0, 300
    few = Scan(n_offsets=161, step_um=1.0, n_angles=n_angles, angle_range_deg=turn_deg)
    many = Scan(n_offsets=161, step_um=1.0, n_angles=200)
    squares = []
    for _draw in range(3):
        x, y = blobs(rng, n=n, radius_um=radius)
        images = [reconstructed(x, y, sigma_um=sigma, scan=s, size=31) for s in (few, many)]
        squares.append(np.mean((images[0] - images[1]) ** 2))
    per_um = np.linspace(0.002, 1.5, 750)
    density = n / (np.pi * radius**2) * np.exp(-((2 * np.pi * sigma * per_um) ** 2))
    predicted = streak_variance(
        Spectrum(per_um, density), transfer=THIN, scan=few, sample_radius_um=radius,
        radius_um=np.array([0.0, 8.0, 15.0]),
    ).mean()  # fmt: skip
    assert np.sqrt(predicted / np.mean(squares)) == pytest.approx(1.0, rel=0.15)


def test_opposite_projections_count_once():
    # Law: the same lines seen from behind, unless their number is odd.
    assert distinct_angles(Scan(n_offsets=2, step_um=1.0, n_angles=50)) == 50
    assert distinct_angles(Scan(n_offsets=2, step_um=1.0, n_angles=50, angle_range_deg=360)) == 25
    assert distinct_angles(Scan(n_offsets=2, step_um=1.0, n_angles=51, angle_range_deg=360)) == 51


def test_no_streaks_inside_the_alias_free_diameter():
    # Limit: a sample smaller than N h/π around every voxel has no wave below 1/(2h) undersampled;
    # beyond that there is none in this spectrum.
    scan = Scan(n_offsets=101, step_um=1.0, n_angles=200)
    per_um = np.linspace(0.002, 0.45, 225)
    flat = Spectrum(per_um, np.ones(225))
    given = {"transfer": THIN, "scan": scan, "radius_um": np.array([0.0])}
    inside = streak_variance(flat, sample_radius_um=60.0, **given)
    outside = streak_variance(flat, sample_radius_um=160.0, **given)
    between = np.sum(THIN.power(per_um) - (per_um * THIN.coherent(per_um)) ** 2) * 0.002
    rest = 2 * np.pi**2 / 200 * between  # what falls between offsets has no alias-free diameter
    assert inside == pytest.approx(rest * 120.0, rel=0.01)
    assert outside > 1.5 * rest * 320.0


# Truncation


def test_truncation_is_that_of_a_reconstructed_disc():
    # Truth: filtered back projection of the disc's truncated projections. 100 angles and linear
    # interpolation in r.
    scan = Scan(n_offsets=41, step_um=1.0, n_angles=100)
    chord = 2 * np.sqrt(80.0**2 - scan.offsets_um**2)
    image = filtered_back_projection(
        np.tile(chord, (100, 1))[:, :, None], angles_rad=scan.angles_rad, step_um=1.0
    ).values[20, 20:, 0]
    radius = np.arange(18.0)
    outside = outside_of(disc(160.0), scan=scan, **THIN_BEAM, recipe=Recipe())
    found = outside.added(outside.amount / outside.amount.max(), x_um=radius, y_um=0.0 * radius)
    assert found == pytest.approx(image[:18] - 1.0, abs=2e-3)
    assert np.all(found < -0.03)  # edge values understate what lies outside


def test_no_truncation_in_view_or_where_it_is_mended():
    # Limit and definition.
    scan = Scan(n_offsets=41, step_um=1.0, n_angles=100)
    assert outside_of(disc(40.0), scan=scan, **THIN_BEAM, recipe=Recipe()) is None
    mended = Recipe(truncation=Truncation(method="complete"))
    assert outside_of(disc(160.0), scan=scan, **THIN_BEAM, recipe=mended) is None


def disc(diameter_um):
    """A particle of that diameter on the axis, cut through its middle."""
    return Sample((Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=diameter_um, x=0.9),))


def test_what_lies_outside_is_what_the_reconstruction_gains():
    # Truth: filtered back projection of truncated projections of blobs less that of whole ones, at
    # the same angles, so that streaks drop out. Blobs are two pixels wide; the difference is smooth
    # but at the rim, so that 90 angles do for both.
    rng = np.random.default_rng(7)
    x, y = blobs(rng, n=60, radius_um=45.0)
    sample = Sample(
        tuple(
            Particle(centre_um=(float(u), float(v), 0.0), diameter_um=3.0, x=0.9)
            for u, v in zip(*_apart(x, y, least_um=3.1), strict=True)
        )
    )
    scan = Scan(n_offsets=41, step_um=1.0, n_angles=90)
    outside = outside_of(sample, scan=scan, **THIN_BEAM, recipe=Recipe())
    centres = sample.centres_um
    wide = Scan(n_offsets=141, step_um=1.0, n_angles=90)
    sinogram = np.zeros((90, 141))
    for k, angle in enumerate(wide.angles_rad):
        across = centres[:, 0] * np.cos(angle) + centres[:, 1] * np.sin(angle)
        edges = np.append(wide.offsets_um - 0.5, wide.offsets_um[-1] + 0.5)
        places = np.clip(edges[:, None] - across, -1.5, 1.5)
        area = places * np.sqrt(1.5**2 - places**2) + 1.5**2 * np.arcsin(places / 1.5)
        sinogram[k] = np.diff(area, axis=0).sum(axis=1)
    given = {"angles_rad": wide.angles_rad, "step_um": 1.0}
    whole = filtered_back_projection(sinogram[:, :, None], padding="zero", **given).values
    cut = filtered_back_projection(sinogram[:, 50:91, None], padding="edge", **given).values
    expected = (cut - whole[50:91, 50:91])[:, :, 0]
    iy, ix = np.nonzero(np.hypot(*np.meshgrid(scan.offsets_um, scan.offsets_um)) < 18.0)
    found = outside.added(
        (outside.amount > 0.0) * outside.amount, x_um=scan.offsets_um[ix], y_um=scan.offsets_um[iy]
    )
    scale = outside.amount.max()
    left = found / scale - expected[iy, ix]
    assert np.std(left) < 0.1 * np.std(expected[iy, ix])


def _apart(x_um, y_um, *, least_um):
    """Return those of the places that keep off all before them."""
    kept = []
    for u, v in zip(x_um, y_um, strict=True):
        if all(np.hypot(u - a, v - b) > least_um for a, b in kept):
            kept.append((u, v))
    return np.array(kept).T
