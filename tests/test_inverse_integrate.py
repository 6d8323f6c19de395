"""Azimuthal integration against pyFAI, closed forms of the geometry, and laws."""

import numpy as np
import pytest
import xraylib
from pydantic import ValidationError

from inverse.integrate import integrate_frame, integrate_frames, integrated, integrator
from inverse.integration import Integration
from inverse.pixel_bins import pyfai_integrator
from xrdct.errors import InputError
from xrdct.instrument import Beam, Detector, Geometry, detector_plane, ring_acceptance
from xrdct.plane import sight
from xrdct.scattering import polarisation_factor

SINGLE = float(np.finfo(np.float32).eps)
BEAM = Beam()
SMALL = Detector(name="Pilatus300k")
CENTRED = Geometry(distance_m=0.3, two_theta_min_deg=2.0, two_theta_max_deg=9.0, n_channels=150)
TILTED = CENTRED.model_copy(
    update={
        "rot1_rad": 0.03,
        "rot2_rad": -0.05,
        "rot3_rad": 0.4,
        "poni1_m": 0.06,
        "poni2_m": 0.03,
        "two_theta_max_deg": 12.0,
    }
)


def plain(**recipe):
    """A recipe with only the corrections that pyFAI's integrators make."""
    return Integration(sensor_parallax=False, sensor_absorption=False, **recipe)


def bins_of(geometry, integration=None, *, detector=SMALL, **arrays):
    integration = integration or plain()
    return integrator(geometry, detector=detector, beam=BEAM, integration=integration, **arrays)


def pixel_sight(geometry, detector):
    """Directions of pixel centres by this project's own geometry, (row, column)."""
    pixel_m = detector.pixel_um * 1e-6
    rows, columns = detector.shape
    row_m, column_m = np.meshgrid(
        (np.arange(rows) + 0.5) * pixel_m, (np.arange(columns) + 0.5) * pixel_m, indexing="ij"
    )
    return sight(detector_plane(geometry, detector), row_m, column_m)


def scattered(geometry, detector, per_sr):
    """Counts of per_sr(2θ) photons per steradian, polarised, on every pixel; gaps −1.

    The solid angle is pixel²·cos α/range², another way to write pixel²·cos³α/L².
    """
    seen = pixel_sight(geometry, detector)
    area_m2 = (detector.pixel_um * 1e-6) ** 2
    solid_angle = area_m2 * seen.cos_incidence / seen.range_m**2
    share = polarisation_factor(seen.two_theta_rad, seen.azimuth_rad, degree=BEAM.polarisation)
    counts = np.rint(per_sr(seen.two_theta_rad) * solid_angle * share).astype(np.int32)
    counts[~detector.live] = -1
    return counts


PER_SR = 3e12
"""About a million counts per pixel, so that rounding to whole ones is below 1e-6 of them."""


@pytest.mark.parametrize("geometry", [CENTRED, TILTED])
@pytest.mark.parametrize("method", ["mean", "median", "trimmed_5_5", "sigma_clip"])
def test_isotropic_scattering_comes_back_flat(geometry, method):
    """Closed form: polarisation, solid angle, centre and tilt cancel; pyFAI against our geometry.

    A pixel is off by half a count of 8e5 at the least, and by float32 weights and cosines of the
    polarisation and solid angle, some ulp each.
    """
    frame = scattered(geometry, SMALL, lambda two_theta: np.full_like(two_theta, PER_SR))
    bins = bins_of(geometry)
    value, _ = integrate_frame(frame, bins, plain(method=method))
    np.testing.assert_allclose(value / bins.ring_factor, PER_SR, rtol=0.5 / 8e5 + 8 * SINGLE)


@pytest.mark.parametrize("geometry", [CENTRED, TILTED])
def test_a_function_of_two_theta_comes_back(geometry):
    """Closed form: the channel's mean of f is within f′ half a width of f at its middle.

    On average it is nearer, for 500 and more centres scatter by 0.3/√500 of a width about it. A
    distance 1 % wrong, which moves 2θ by one width and more, must be seen.
    """
    step = geometry.channel_width_rad

    def rising(two_theta):
        return PER_SR * (1.0 + 20.0 * (two_theta - geometry.two_theta_rad[0]))

    frame = scattered(geometry, SMALL, rising)
    bins = bins_of(geometry)
    value, _ = integrate_frame(frame, bins, plain(method="mean"))
    error = value / bins.ring_factor - rising(bins.two_theta_rad)
    assert np.abs(error).max() < PER_SR * 20.0 * 0.5 * step
    assert np.sqrt(np.mean(error**2)) < PER_SR * 20.0 * 0.1 * step
    other = geometry.model_copy(update={"distance_m": 1.01 * geometry.distance_m})
    value, _ = integrate_frame(frame, bins_of(other), plain(method="mean"))
    error = value / bins.ring_factor - rising(bins.two_theta_rad)
    assert np.sqrt(np.mean(error**2)) > PER_SR * 20.0 * 0.1 * step


def test_each_correction_can_be_left_out():
    """Law: without a correction its factor comes back, at 9° and beyond between 0.5 and 4 %."""
    frame = scattered(TILTED, SMALL, lambda two_theta: np.full_like(two_theta, PER_SR))
    seen = pixel_sight(TILTED, SMALL)
    for field, factor in (
        ("solid_angle", seen.cos_incidence**3),
        (
            "polarisation",
            polarisation_factor(seen.two_theta_rad, seen.azimuth_rad, degree=BEAM.polarisation),
        ),
    ):
        recipe = plain(method="mean", **{field: False})
        bins = bins_of(TILTED, recipe)
        value, _ = integrate_frame(frame, bins, recipe)
        last = slice(bins.start[-2], bins.start[-1])
        expected = np.mean(factor.ravel()[bins.pixel[last]])
        assert value[-1] / bins.ring_factor[-1] / PER_SR == pytest.approx(expected, abs=1e-3)
        assert abs(expected - 1.0) > 3e-3


def test_flat_field_and_mask():
    """Law: the response of pixels divides out; masked ones and those without do not count."""
    rng = np.random.default_rng(1)
    flat = rng.uniform(0.7, 1.3, SMALL.shape)
    frame = scattered(CENTRED, SMALL, lambda two_theta: np.full_like(two_theta, PER_SR))
    frame = np.where(frame < 0, frame, np.rint(frame * flat)).astype(np.int32)
    hot, dead = rng.random(SMALL.shape) < 0.01, rng.random(SMALL.shape) < 0.01
    frame[hot] = 2_000_000_000
    flat[dead], frame[dead] = np.nan, 0
    recipe = plain(method="mean")
    bins = bins_of(CENTRED, recipe, mask=hot, flat=flat)
    value, _ = integrate_frame(frame, bins, recipe)
    np.testing.assert_allclose(value / bins.ring_factor, PER_SR, rtol=2 * (0.5 / 5e5 + 8 * SINGLE))
    ignoring = recipe.model_copy(update={"use_flat": False})
    bins = bins_of(CENTRED, ignoring, mask=hot, flat=flat)
    value, _ = integrate_frame(frame, bins, ignoring)
    assert np.abs(value / bins.ring_factor / PER_SR - 1.0).max() > 1e-3


def test_negative_pixels_are_left_out_of_their_frame():
    """Law: a pixel of −1 or −2 is as good as one that the mask leaves out."""
    rng = np.random.default_rng(2)
    frame = rng.poisson(3.0, SMALL.shape).astype(np.int32)
    bad = rng.random(SMALL.shape) < 0.2
    marked = np.where(bad, rng.choice([-1, -2], SMALL.shape), frame).astype(np.int32)
    for method in ("mean", "median", "trimmed_10_10", "sigma_clip"):
        recipe = plain(method=method)
        expected = integrate_frame(frame, bins_of(CENTRED, recipe, mask=bad), recipe)
        found = integrate_frame(marked, bins_of(CENTRED, recipe), recipe)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_sensor_parallax_is_the_mean_depth():
    """Closed form: rings of radius r come from r(1 − cos α/(µL)), µ by xraylib (PHYSICS 4).

    pyFAI tabulates µ from another source (1 %) and its displacement at 1024 angles. A sensor of six
    absorption lengths lets through so little that the mean path is 1.5 % short of 1/µ.
    """
    geometry = CENTRED.model_copy(update={"distance_m": 0.6})
    ai = pyfai_integrator(geometry, detector=SMALL, beam=BEAM, sensor_parallax=True)
    corrected = ai.center_array(unit="2th_rad", scale=False)
    seen = pixel_sight(geometry, SMALL)
    per_m = 100.0 * 5.85 * xraylib.CS_Total_CP("CdTe", BEAM.energy_keV)
    radius = geometry.distance_m * np.tan(seen.two_theta_rad)
    shift = np.arctan((radius - np.sin(seen.two_theta_rad) / per_m) / geometry.distance_m)
    shift -= seen.two_theta_rad
    far = seen.two_theta_rad > np.deg2rad(2.0)
    np.testing.assert_allclose((corrected - seen.two_theta_rad)[far], shift[far], rtol=0.03)
    assert shift[far].max() < -9e-6


def test_parallax_moves_the_bins():
    """Law: with the correction, channels hold the pixels whose corrected 2θ lies in them."""
    recipe = Integration()
    bins = bins_of(TILTED, recipe)
    ai = pyfai_integrator(TILTED, detector=SMALL, beam=BEAM, sensor_parallax=True)
    two_theta = ai.center_array(unit="2th_rad", scale=False).ravel()[bins.pixel]
    own = np.repeat(np.arange(bins.n_channels), np.diff(bins.start))
    half = 0.5 * TILTED.channel_width_rad * (1.0 + 1e-9)
    assert np.abs(two_theta - bins.two_theta_rad[own]).max() <= half
    assert not np.array_equal(bins.start, bins_of(TILTED).start)


def test_sensor_absorption_matters_where_photons_pass():
    """Beer–Lambert: 1 − exp(−µt/cos α) over its value at normal incidence, µ by xraylib.

    At 50 keV in 100 µm, µt = 0.62 and the ratio rises to some 1.02; µ of two tables agree to 1 %,
    and the ratio's excess with them.
    """
    thin = SMALL.model_copy(update={"sensor_um": 100.0})
    recipe = Integration(sensor_parallax=False, polarisation=False, solid_angle=False)
    bins = bins_of(TILTED, recipe, detector=thin)
    depth = 1e-2 * 5.85 * xraylib.CS_Total_CP("CdTe", BEAM.energy_keV)
    cosine = pixel_sight(TILTED, thin).cos_incidence.ravel()[bins.pixel]
    expected = np.expm1(-depth / cosine) / np.expm1(-depth)
    normal = (thin.pixel_um * 1e-6 / TILTED.distance_m) ** 2
    np.testing.assert_allclose(bins.weight / normal - 1.0, expected - 1.0, rtol=0.03, atol=2e-6)
    assert expected.max() > 1.01


def test_acceptance_is_that_of_the_ring():
    """Independent way: azimuths that hit live pixels, instead of pixels whose centres are caught.

    The number of centres within a circle of r pixels about one of them scatters by 1.6 √r (Gauss's
    circle problem, mean square 2.54 r), so that of a channel by √2 times this, of 2πr·dr, and never
    by more than a few times that. Over 32 channels together the same scatter counts 32 times less;
    ring_acceptance adds half a sample of 4096·4 at each edge of a module, some 40 edges.
    """
    geometry, detector = Geometry(), Detector()
    found = bins_of(geometry, detector=detector).acceptance
    smooth = ring_acceptance(geometry, detector=detector, polarisation=BEAM.polarisation)
    pixel_m = detector.pixel_um * 1e-6
    radius = geometry.distance_m * np.tan(geometry.two_theta_rad) / pixel_m
    width = geometry.channel_width_rad * geometry.distance_m / pixel_m
    width /= np.cos(geometry.two_theta_rad) ** 2
    scatter = np.sqrt(2.0) * 1.6 * np.sqrt(radius) / (2.0 * np.pi * radius * width)
    assert np.abs((found - smooth) / scatter).max() < 4.0
    together = (found - smooth).reshape(-1, 32).mean(axis=1)
    bound = 4.0 * scatter.reshape(-1, 32).mean(axis=1) / 32 + 40 * 0.5 / (4 * 4096 * 32)
    assert np.abs(together / bound).max() < 1.0


COUNTS = (0.2, 1.0, 5.0, 20.0, 100.0)


@pytest.fixture(scope="module")
def pyfai():
    return pyfai_integrator(TILTED, detector=SMALL, beam=BEAM, sensor_parallax=False)


@pytest.fixture(scope="module")
def comparable(pyfai):
    """Channels that hold the same pixels in pyFAI.

    It bins in single precision: pixels within some ulp of a channel's edge (2θ of 0.2 in channels
    of 1.2e-3: 1e-5 of a channel) may fall on its other side, and those in the channel before the
    first are counted into the first.
    """
    limit = np.deg2rad(TILTED.two_theta_min_deg)
    place = (pyfai.center_array(unit="2th_rad", scale=False) - limit) / TILTED.channel_width_rad
    edge = np.rint(place[np.abs(place - np.rint(place)) < 4e-5]).astype(int)
    same = np.ones(TILTED.n_channels + 1, bool)
    same[0] = False
    for either in (edge - 1, edge):
        same[either[(either >= 0) & (either <= TILTED.n_channels)]] = False
    assert same.sum() > 100
    return same[: TILTED.n_channels]


def poisson_frame(mean, seed):
    rng = np.random.default_rng(seed)
    frame = rng.poisson(mean, SMALL.shape).astype(np.int32)
    frame[~SMALL.live] = -1
    frame[rng.random(SMALL.shape) < 0.01] = -2
    return frame


def by_pyfai(ai, name, frame, **options):
    """What pyFAI's integrator of that name gives, in our unit."""
    limits = tuple(np.deg2rad([TILTED.two_theta_min_deg, TILTED.two_theta_max_deg]))
    result = getattr(ai, name)(
        frame,
        npt=TILTED.n_channels,
        unit="2th_rad",
        radial_range=limits,
        polarization_factor=BEAM.polarisation,
        method=("no", "csr", "cython"),
        mask=(frame < 0).astype(np.int8),
        **options,
    )
    area_sr = ai.detector.pixel1 * ai.detector.pixel2 / ai.dist**2
    return result.intensity / area_sr * 2.0 * np.pi * np.sin(TILTED.two_theta_rad)


@pytest.mark.parametrize("mean", COUNTS)
def test_mean_is_that_of_pyfai(mean, pyfai, comparable):
    """Independent package, without splitting pixels; its weights and result are single."""
    frame = poisson_frame(mean, seed=3)
    value, _ = integrate_frame(frame, bins_of(TILTED), plain(method="mean"))
    theirs = by_pyfai(pyfai, "integrate1d_ng", frame)
    np.testing.assert_allclose(value[comparable], theirs[comparable], rtol=4 * SINGLE)


@pytest.mark.parametrize(("method", "percentile"), [("trimmed_5_5", 5), ("trimmed_10_10", 10)])
@pytest.mark.parametrize("mean", COUNTS)
def test_trimmed_mean_is_that_of_pyfai(mean, method, percentile, pyfai, comparable):
    """Independent package, to within what it does otherwise.

    pyFAI keeps the pixel that a cut goes through, at either end, and cuts where a part of the
    *weight* is reached, which with weights spread by δ is up to αNδ ranks from that part of the
    pixels. Each pixel more or less moves the mean by at most (b − a)/kept. Among equal values it
    keeps those of the larger weight, which changes the mean weight by less than αδ/(1 − 2α).
    """
    frame, alpha = poisson_frame(mean, seed=4), percentile / 100
    bins = bins_of(TILTED)
    value, _ = integrate_frame(frame, bins, plain(method=method))
    theirs = by_pyfai(pyfai, "medfilt1d_ng", frame, percentile=(percentile, 100 - percentile))
    error = np.abs(value - theirs)
    for c in np.flatnonzero(comparable):
        own = slice(bins.start[c], bins.start[c + 1])
        counts, weight = frame.ravel()[bins.pixel[own]], bins.weight[own].astype(float)
        v = np.sort(counts[counts >= 0] / weight[counts >= 0])
        cut, delta = int(alpha * v.size), weight.max() / weight.min() - 1.0
        pixels = 2 * (1.0 + alpha * v.size * delta)
        bound = (v[-1 - cut + 1] - v[cut - 1]) * pixels / (v.size - 2 * cut)
        bound *= bins.ring_factor[c]
        assert error[c] <= bound + value[c] * alpha * delta / (1 - 2 * alpha), c
    typical = np.median(error[comparable] / value[comparable])
    assert typical < {0.2: 0.03, 100.0: 6e-4}.get(mean, 0.01)


@pytest.mark.parametrize("mean", [5.0, 20.0, 100.0])
def test_median_is_that_of_pyfai(mean, pyfai, comparable):
    """Independent package: its median is the pixel at which half of the weight is reached.

    With weights spread by δ that is within Nδ/4 + 1 ranks of the middle one.
    """
    frame = poisson_frame(mean, seed=5)
    bins = bins_of(TILTED)
    value, _ = integrate_frame(frame, bins, plain(method="median"))
    theirs = by_pyfai(pyfai, "medfilt1d_ng", frame, percentile=50) / bins.ring_factor
    for c in np.flatnonzero(comparable):
        own = slice(bins.start[c], bins.start[c + 1])
        counts, weight = frame.ravel()[bins.pixel[own]], bins.weight[own].astype(float)
        v = np.sort(counts[counts >= 0] / weight[counts >= 0])
        reach = int(v.size * (weight.max() / weight.min() - 1.0) / 4) + 2
        low, high = v[v.size // 2 - reach], v[v.size // 2 + reach]
        assert low * (1 - 4 * SINGLE) <= theirs[c] <= high * (1 + 4 * SINGLE)
        assert low <= value[c] / bins.ring_factor[c] <= high


@pytest.mark.parametrize(
    ("mean", "model"),
    [*((mean, "azimuthal") for mean in COUNTS), (20.0, "poisson"), (100.0, "poisson")],
)
def test_clipped_mean_is_that_of_pyfai(mean, model, pyfai, comparable):
    """Independent package; single precision moves a pixel on the edge in few channels, if any.

    With photons pyFAI takes a variance of at least one for each pixel, so it is compared only where
    hardly any count is zero. It never clips below √(2 ln(N/√(2π))) = 3.6 deviations; we clip at 4.
    """
    frame = poisson_frame(mean, seed=6)
    frame[::50, ::7] += np.where(frame[::50, ::7] >= 0, 40 + int(20 * np.sqrt(mean)), 0)
    recipe = plain(method="sigma_clip", clip_threshold=4.0, clip_iterations=5, error_model=model)
    value, _ = integrate_frame(frame, bins_of(TILTED), recipe)
    theirs = by_pyfai(pyfai, "sigma_clip_ng", frame, thres=4.0, max_iter=5, error_model=model)
    relative = np.abs(value / theirs - 1.0)[comparable]
    assert (relative < 8 * SINGLE).mean() > 0.9
    assert relative.max() < 0.05
    mean_value, _ = integrate_frame(frame, bins_of(TILTED), plain(method="mean"))
    assert (np.abs(mean_value / value - 1.0)[comparable] > 1e-3).mean() > 0.5


def test_threads_do_not_change_the_result():
    """Law: each channel is one thread's, whatever their number; frames in a row are in order."""
    rng = np.random.default_rng(7)
    frames = rng.poisson(2.0, (5, *SMALL.shape)).astype(np.int32)
    bins, recipe = bins_of(CENTRED), plain()
    single = [integrate_frame(frame, bins, recipe, workers=1) for frame in frames]
    for frame, expected in zip(frames, single, strict=True):
        np.testing.assert_array_equal(integrate_frame(frame, bins, recipe, workers=3), expected)
    values, variances = integrate_frames(frames, bins, recipe, workers=2)
    np.testing.assert_array_equal(values, np.float32([value for value, _ in single]))
    np.testing.assert_array_equal(variances, np.float32([variance for _, variance in single]))
    values, variances = integrate_frames(iter(frames[:0]), bins, recipe)
    assert values.shape == variances.shape == (0, bins.n_channels)


def test_few_frames_are_held_at_a_time():
    """Law: of an endless row of frames no more than two per thread are taken ahead."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.zeros(SMALL.shape, np.int32)

    stream = integrated(endless(), bins_of(CENTRED), plain(), workers=2)
    for n in range(1, 4):
        next(stream)
        assert taken <= n + 2 * 2
    stream.close()


def test_channels_without_pixels_are_nan_not_zero():
    """Law: "not measured" is NaN, in value and variance, from fewer than eight usable pixels on."""
    bins = bins_of(CENTRED)
    frame = np.zeros(SMALL.shape, np.int32)
    for c, left in ((10, 0), (20, 7), (30, 8)):
        frame.ravel()[bins.pixel[bins.start[c] + left : bins.start[c + 1]]] = -1
    for method in ("mean", "median", "trimmed", "sigma_clip"):
        for result in integrate_frame(frame, bins, plain(method=method)):
            assert np.flatnonzero(np.isnan(result)).tolist() == [10, 20]
            assert (result[np.isfinite(result)] == 0).all()


def test_narrower_integers_are_read_and_others_refused():
    """Rule: whatever int32 holds."""
    bins, recipe = bins_of(CENTRED), plain()
    frame = np.ones(SMALL.shape, np.int32)
    expected = integrate_frame(frame, bins, recipe)
    for kind in (np.int16, np.uint16, np.int8):
        np.testing.assert_array_equal(integrate_frame(frame.astype(kind), bins, recipe), expected)
    np.testing.assert_array_equal(integrate_frame(np.asfortranarray(frame), bins, recipe), expected)
    for kind in (np.uint32, np.int64, np.float32):
        with pytest.raises(InputError, match="at most 32 bits"):
            integrate_frame(frame.astype(kind), bins, recipe)
    with pytest.raises(InputError, match=r"\(619, 487\)"):
        integrate_frame(frame[:-1], bins, recipe)
    with pytest.raises(InputError, match="mask must have the detector's shape"):
        bins_of(CENTRED, mask=np.zeros((2, 2)))
    with pytest.raises(InputError, match="flat must have the detector's shape"):
        bins_of(CENTRED, flat=np.ones((2, 2)))


def test_both_readings_of_ten_per_cent_have_a_name():
    """Definition (PHYSICS 7), and what cannot be trimmed is refused."""
    assert Integration(method="trimmed_5_5").trimmed_fractions == (0.05, 0.05)
    assert Integration(method="trimmed_10_10").trimmed_fractions == (0.1, 0.1)
    named = Integration(method="trimmed", lower_percent=2.0, upper_percent=30.0)
    assert named.trimmed_fractions == (0.02, 0.3)
    with pytest.raises(ValidationError, match="must leave at least 1 %"):
        Integration(lower_percent=50.0, upper_percent=49.5)
