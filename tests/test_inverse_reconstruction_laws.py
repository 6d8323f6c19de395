"""Laws that every reconstruction method obeys, for any sample in view and any admissible scan.

Samples are ellipses of constant density, of either sign, whose line integrals have closed forms;
the beam is as wide as the step, so that a projection's values times the step add up to the sample's
amount, exactly. Scans have even and odd widths, cover half a turn or a whole one from any angle on,
in any order, their angles need not be uniform nor the axis in the middle.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j0, j1
from scipy.stats import ncx2

from inverse.geometry import angle_weights, field_of_view
from inverse.reconstruct import filtered_back_projection

SINGLE = float(np.finfo(np.float32).eps)
BLUR = 1.3
"""Standard deviation of the edge of the window that weighs an image, in steps."""
MARGIN = 4 * BLUR
"""Beyond which that edge has ended: it is down to 3e-5 there, to 1e-4 in its filtered form."""
FLAT = 3.0
"""Steps that interpolation and the windows of the filters reach, and half a beam."""
SMALLEST = 3.0
"""Smallest semi-axis, in steps."""
REACH = 4
"""Reciprocal lattice vectors that are summed; those beyond fall with the square of their length."""


def back_projected(sinogram, *, filter_name="ramp", padding="edge", **scan):
    return filtered_back_projection(
        sinogram, filter_name=filter_name, padding=padding, **scan
    ).values


METHODS = {
    "ramp": back_projected,
    "ramp, zero padding": partial(back_projected, padding="zero"),
    "hann": partial(back_projected, filter_name="hann"),
}
"""name → images (iy, ix, channel) = method(sinogram (angle, offset, channel), *, angles_rad,
step_um, axis_offset_um), on as many pixels as there are offsets."""

factors = st.integers(-5000, 5000).map(lambda thousandths: 1e-3 * thousandths)
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@dataclass(frozen=True)
class Scan:
    angles: np.ndarray
    n: int
    step: float
    axis: float
    """In steps."""

    @property
    def reach(self):
        """Radius of the field of view, in steps."""
        return 0.5 * (self.n - 1) - abs(self.axis)

    @property
    def keywords(self):
        return {
            "angles_rad": self.angles,
            "step_um": self.step,
            "axis_offset_um": self.axis * self.step,
        }


@dataclass(frozen=True)
class Ellipse:
    """Lengths in steps; ``density`` per step."""

    x: float
    y: float
    major: float
    minor: float
    tilt: float
    density: float

    @property
    def amount(self):
        return np.pi * self.major * self.minor * self.density

    def turned(self, angle):
        c, s = np.cos(angle), np.sin(angle)
        return replace(
            self, x=self.x * c - self.y * s, y=self.x * s + self.y * c, tilt=self.tilt + angle
        )

    def projection(self, scan):
        """2·density·major·minor/h²·√(h² − t²), h the half width, averaged over a step."""
        across = scan.angles - self.tilt
        h = np.hypot(self.major * np.cos(across), self.minor * np.sin(across))[:, None]
        seen_at = self.x * np.cos(scan.angles) + self.y * np.sin(scan.angles) + scan.axis
        t = np.arange(scan.n) - 0.5 * (scan.n - 1) - seen_at[:, None]
        left, right = (np.clip((t + d) / h, -1.0, 1.0) for d in (-0.5, 0.5))
        primitive = [u * np.sqrt(1 - u**2) + np.arcsin(u) for u in (left, right)]
        return self.density * self.major * self.minor * (primitive[1] - primitive[0])


def sinogram_of(samples, scan):
    """(angle, offset, channel), a channel for each sample; single precision, as it is measured."""
    channels = [sum(e.projection(scan) for e in ellipses) for ellipses in samples]
    return np.stack(channels, axis=2).astype(np.float32)


@st.composite
def scans(draw, *, turns=(np.pi, 2 * np.pi), uniform=False, centred=False):
    n, n_angles = draw(st.integers(45, 64)), draw(st.integers(24, 48))
    turn = draw(st.sampled_from(turns))
    number = np.arange(n_angles, dtype=float)
    if not uniform:  # gaps stay below three mean ones, modulo half a turn
        jitter = draw(st.floats(0.0, 0.45 if turn == np.pi else 0.24))
        seed = draw(st.integers(0, 99))
        rng = np.random.Generator(np.random.Philox(seed))
        number = rng.permutation(number + jitter * rng.uniform(-1.0, 1.0, n_angles))
    return Scan(
        angles=draw(st.floats(-3.0, 3.0)) + turn * number / n_angles,
        n=n,
        step=draw(st.floats(0.1, 10.0)),
        axis=0.0 if centred else draw(st.floats(-2.0, 2.0)),
    )


@st.composite
def samples(draw, scan):
    """One to three ellipses that may overlap, where the window of the laws below is flat."""
    room = scan.reach - 2 * MARGIN - FLAT
    ellipses = []
    for _ in range(draw(st.integers(1, 3))):
        major = draw(st.floats(SMALLEST, room))
        distance, direction = draw(st.floats(0.0, room - major)), draw(st.floats(0.0, 6.3))
        ellipses.append(
            Ellipse(
                x=distance * np.cos(direction),
                y=distance * np.sin(direction),
                major=major,
                minor=draw(st.floats(SMALLEST, major)),
                tilt=draw(st.floats(0.0, 3.1)),
                density=draw(st.floats(0.5, 2.0)) * draw(st.sampled_from([1.0, -1.0])),
            )
        )
    return tuple(ellipses)


def rounding(sinogram, scan):
    """Largest error of single precision in an image.

    It is a sum of n·N products, n-fold then N-fold, of the sinogram with weights whose magnitudes
    add up to no more than π/(2·step): those of the ramp to 1/2 (1/4 + 2·Σ 1/(π²k²), k odd), windows
    average it, folded edges move it, interpolation shares it out, weights of angles add up to π.
    """
    n_angles, n, _ = sinogram.shape
    return (n + n_angles) * SINGLE * np.pi / (2 * scan.step) * np.abs(sinogram).max()


def assert_same(first, second, *, atol):
    """Numbers agree and NaN are at the same places."""
    np.testing.assert_allclose(first, second, rtol=0.0, atol=atol)


@every_method
@given(data=st.data(), a=factors, b=factors)
def test_linear(method, data, a, b):
    # Law. Three images are rounded, and a sinogram, by half of its last digit.
    scan = data.draw(scans())
    first, second = (sinogram_of([data.draw(samples(scan))], scan) for _ in range(2))
    together = method(a * first + b * second, **scan.keywords)
    apart = a * method(first, **scan.keywords) + b * method(second, **scan.keywords)
    scale = rounding(first, scan) * abs(a) + rounding(second, scan) * abs(b)
    assert_same(together, apart, atol=3 * scale)


@every_method
@given(data=st.data())
def test_a_sample_turned_by_angular_steps_is_a_scan_begun_later(method, data):
    # Law: a sample turned by k angular steps shows at every angle what it showed k angles before.
    # Those before the first are, over half a turn, seen from behind: mirrored about the axis, which
    # puts rays on rays where the axis is in the middle. Sinograms differ by the rounding of t.
    half = scans(turns=(np.pi,), uniform=True, centred=True)
    whole = scans(turns=(2 * np.pi,), uniform=True)
    scan = data.draw(st.one_of(half, whole))
    sample = data.draw(samples(scan))
    turn = (scan.angles[1] - scan.angles[0]) * data.draw(st.integers(1, scan.angles.size - 1))
    turned = sinogram_of([[e.turned(turn) for e in sample]], scan)
    still = sinogram_of([sample], scan)
    later = replace(scan, angles=scan.angles + turn)
    assert_same(
        method(turned, **scan.keywords),
        method(still, **later.keywords),
        atol=3 * rounding(still, scan),
    )


@every_method
@given(data=st.data())
def test_a_quarter_turn_turns_the_image(method, data):
    # Law: pixels fall on pixels, whatever the angles and the axis; turned, f(x, y) is f(y, −x).
    scan = data.draw(scans())
    sample = data.draw(samples(scan))
    quarter = replace(scan, angles=scan.angles + 0.5 * np.pi)
    sinogram = sinogram_of([[e.turned(0.5 * np.pi) for e in sample]], quarter)
    straight = method(sinogram_of([sample], scan), **scan.keywords)
    assert_same(
        method(sinogram, **quarter.keywords),
        np.rot90(straight, k=-1, axes=(0, 1)),
        atol=3 * rounding(sinogram, scan),
    )


@every_method
@given(data=st.data())
def test_the_order_of_projections_does_not_matter(method, data):
    # Law.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan))], scan)
    order = data.draw(st.permutations(range(scan.angles.size)))
    shuffled = replace(scan, angles=scan.angles[order])
    assert_same(
        method(sinogram[order], **shuffled.keywords),
        method(sinogram, **scan.keywords),
        atol=2 * rounding(sinogram, scan),
    )


@every_method
@given(data=st.data())
def test_seeing_projections_again_changes_nothing(method, data):
    # Law: the same projection, or the opposite one, its mirror image about the axis, holds nothing
    # new, and only the sum of their weights may count.
    scan = data.draw(scans(turns=(np.pi,), uniform=True, centred=True))
    once = sinogram_of([data.draw(samples(scan))], scan)
    again = data.draw(st.lists(st.integers(0, scan.angles.size - 1), unique=True))
    behind = data.draw(st.booleans())
    angles = np.concatenate([scan.angles, scan.angles[again] + np.pi * behind])
    copies = once[again, ::-1] if behind else once[again]
    assert_same(
        method(np.concatenate([once, copies]), **replace(scan, angles=angles).keywords),
        method(once, **scan.keywords),
        atol=3 * rounding(once, scan),
    )


@every_method
@given(data=st.data())
def test_only_what_was_not_measured_is_nan(method, data):
    # Definition: pixels outside the field of view, and channels with a ray that holds no number.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan)) for _ in range(3)], scan)
    scale = data.draw(st.sampled_from([1e-30, 1.0, 1e30]))
    sinogram *= np.float32(scale)
    sinogram[:, :, data.draw(st.integers(0, 2))] *= data.draw(st.sampled_from([0.0, 1.0]))
    broken = data.draw(st.sets(st.integers(0, 2)))
    for channel in broken:
        angle = data.draw(st.integers(0, scan.angles.size - 1))
        sinogram[angle, data.draw(st.integers(0, scan.n - 1)), channel] = np.nan
    images = method(sinogram, **scan.keywords)
    axis_um = scan.axis * scan.step
    outside = ~field_of_view(scan.n, n_offsets=scan.n, step_um=scan.step, axis_offset_um=axis_um)
    for channel in range(3):
        expected = np.ones_like(outside) if channel in broken else outside
        np.testing.assert_array_equal(np.isnan(images[:, :, channel]), expected)
    assert not np.any(np.isinf(images))


@every_method
@given(data=st.data(), lengths=st.integers(-8, 8), quantities=st.integers(-8, 8))
def test_units(method, data, lengths, quantities):
    # Law: an image is a quantity per length. Powers of two change no digit.
    scan = data.draw(scans())
    sinogram = sinogram_of([data.draw(samples(scan))], scan)
    other = replace(scan, step=scan.step * 2.0**lengths)
    scaled = method(sinogram * np.float32(2.0**quantities), **other.keywords)
    expected = method(sinogram, **scan.keywords) * np.float32(2.0 ** (quantities - lengths))
    np.testing.assert_array_equal(scaled, expected)


def window(scan):
    """The window W of :func:`amount_bound` on the pixels, and its radius."""
    radius = scan.reach - MARGIN
    position = np.arange(scan.n) - 0.5 * (scan.n - 1)
    squared = position[:, None] ** 2 + position[None, :] ** 2
    return ncx2.cdf((radius / BLUR) ** 2, 2, squared / BLUR**2), radius


def amount_bound(scan, *, minor):
    """Return bounds on the errors of amount and of first moment, per amount (and per step).

    Of filtered back projection, image Σ_ω w_ω·q_ω(t), with any filter whose response to a constant
    is that of the ramp, zero, and to low frequencies |f|, and lengths in steps.

    Weigh the image with a radial window W that is 1 where the sample lies. In the continuum every
    projection then yields the whole amount M, however few there are:

        ∫ W q(t) dA = ∫ q P_W dt = ∫ p·(r∗P_W) dt = M/π,

    with P_W the projection of W and r the ramp; for r∗P_W, the filtered projection of W, is 1/π
    wherever W is 1 (the back projection of a constant is that constant). Windowed filters,
    interpolation and the beam average over neighbours within FLAT, which changes no constant. So
    does Σ w = π. Likewise ∫ x W q dA = n_ω·(2/π)·∫ t p dt, and uniform angles have
    Σ w n nᵀ = (π/2)·1: first moments are those of the sample.

    What remains is that sums stand for integrals. The sum over pixels adds, by Poisson's formula,
    for every vector G ≠ 0 of the lattice of pixels

        ∫ Q(f)·sinc²f·Ŵ(G − f·n_ω) df,   |Q(f)| ≤ |f̃|·|P(f)|,

    where sinc² is interpolation, Q the spectrum of the sampled and filtered projection, which
    repeats with f (f̃ is f less the nearest integer), and P that of the sampled projection: M times
    Σ_m (2J₁(z)/z)·sinc(f + m), z = 2πh·(f + m) for an ellipse of the half width h ≥ minor and the
    beam. |2J₁(z)/z| is no more than 1, nor than 1.66/z^1.5. W is a disc of radius R blurred by a
    Gaussian, so that Ŵ(k) = R·J₁(2πRk)/k·exp(−2π²σ²k²); xW has the transform |∂Ŵ/∂k|/2π. For
    G = 0 the integral beyond the Nyquist frequency is wrong, by less than 1e-4.
    """
    angles, weights = scan.angles, angle_weights(scan.angles)
    radius = scan.reach - MARGIN
    one_way = np.arange(-REACH, REACH + 1.0)
    gx, gy = (g.ravel()[:, None] for g in np.meshgrid(one_way, one_way))
    along = gx * np.cos(angles) + gy * np.sin(angles)
    across = np.abs(gy * np.cos(angles) - gx * np.sin(angles))
    near = (across < 0.6) & ((gx != 0) | (gy != 0))  # Ŵ at 0.6 is below 1e-5 of Ŵ(0)
    share = np.broadcast_to(weights / np.pi, along.shape)[near]
    detuned = np.linspace(-0.6, 0.6, 41)
    f = along[near][:, None] - detuned
    k = np.hypot(detuned, across[near][:, None]) + 1e-9
    spectrum = np.pi * np.abs(f - np.rint(f)) * _projection_envelope(f, minor) * np.sinc(f) ** 2
    z, blur = 2 * np.pi * radius * k, np.exp(-2 * (np.pi * BLUR * k) ** 2)
    disc = 2 * np.pi * radius**2 * j1(z) / z
    slope = 2 * np.pi * radius**2 * (2 * j1(z) / z - j0(z)) / k  # −∂disc/∂k = 2πR²·J₂(z)/k
    moment = (np.abs(slope) / (2 * np.pi) + 2 * np.pi * BLUR**2 * k * np.abs(disc)) * blur
    spacing = detuned[1] - detuned[0]
    return tuple(
        float(((spectrum * weight).sum(axis=1) * spacing) @ share) + 1e-4 * unit
        for weight, unit in ((np.abs(disc) * blur, 1.0), (moment, radius))
    )


def _projection_envelope(f, h):
    return sum(
        np.minimum(1.0, 1.66 * (2 * np.pi * h * np.abs(f + m) + 1e-9) ** -1.5)
        * np.abs(np.sinc(f + m))
        for m in range(-4, 5)
    )


@every_method
@settings(max_examples=12)
@given(data=st.data())
def test_the_amount_is_conserved(method, data):
    # Law, bound as derived. Half a per cent to five per cent of the amounts, by the smallest axis.
    scan = data.draw(scans())
    sample = data.draw(samples(scan))
    image = np.nan_to_num(method(sinogram_of([sample], scan), **scan.keywords)[:, :, 0])
    weight, _ = window(scan)
    amount = scan.step * np.sum(weight * image, dtype=float)
    bound, _ = amount_bound(scan, minor=min(e.minor for e in sample))
    total = sum(abs(e.amount) for e in sample)
    assert abs(amount - sum(e.amount for e in sample)) <= bound * total


@every_method
@settings(max_examples=12)
@given(data=st.data())
def test_the_first_moment_turns_with_the_sample(method, data):
    # Law, bound as derived: a sample at (x, y) is found there, to a fraction of a step.
    scan = data.draw(scans(uniform=True))
    sample = data.draw(samples(scan))
    image = np.nan_to_num(method(sinogram_of([sample], scan), **scan.keywords)[:, :, 0])
    weight, _ = window(scan)
    position = np.arange(scan.n) - 0.5 * (scan.n - 1)
    columns, rows = (np.sum(weight * image, axis=axis, dtype=float) for axis in (0, 1))
    moment = scan.step * np.array([columns @ position, rows @ position])
    expected = sum(e.amount * np.array([e.x, e.y]) for e in sample)
    _, bound = amount_bound(scan, minor=min(e.minor for e in sample))
    total = sum(abs(e.amount) for e in sample)
    assert np.hypot(*(moment - expected)) <= bound * total
