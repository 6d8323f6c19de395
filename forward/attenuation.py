"""Attenuation of scattered photons on their way out, which is not the way of the beam.

A photon scattered at s leaves with slopes u = tan2θ cosχ across and v = tan2θ sinχ upwards, along
(u, 1, v). On the way in it loses as much as the beam does, so that against a beam transmitted
whole, exp(−τ), the scattered photons of a ray are as

    R(u, v) = ⟨ exp(τ(s; 0, 0) − τ(s; u, v)) ⟩,

τ(s; u, v) the optical depth from s to the outside and ⟨⟩ the mean over the places where the ray
crosses what scatters. The medium is a nest of circles around the rotation axis, filled with layers
along it, the electrode with its mean attenuation: a homogeneous medium in each. A circle crossed
between λ1 and λ2 (in units of the way along s) and a layer between heights z1 and z2 share

    √(1 + u² + v²) · |[λ1, λ2] ∩ [z1/v, z2/v]|.

R nearly factorises, R(u, v) ≈ U(u) V(v) with U = R(u, 0), V = R(0, v), exactly so on both axes of
the detector. Directions: +t to the right of one who looks along the beam, +v up the rotation axis.
Tilt and bending of layers, and the beam's size, are left out here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantoms.cell import ELECTRODE, REGIONS, Cell
from phantoms.cell_materials import substance, substance_names
from xrdct.attenuation import linear_attenuation_per_um
from xrdct.compiled import compiled
from xrdct.errors import InputError
from xrdct.scattering import polarisation_factor

Floats = NDArray[np.float64]

_PLACES = 16
"""Gauss–Legendre nodes along a ray."""
SECTORS = 64
"""Directions of a ring."""


@dataclass(frozen=True, eq=False)
class Medium:
    """Nested circles, from outside to inside, filled with layers."""

    centres_um: Floats
    """Shape (circle, 2)."""
    radii_um: Floats
    """Shape (circle,)."""
    contrast_per_um: Floats
    """µ less that of the circle around, shape (circle, layer)."""
    interfaces_um: Floats
    """Heights between layers over the beam, rising, shape (layer − 1,)."""

    @property
    def round(self) -> bool:
        """Whether it looks the same at every rotation, all circles being on the axis."""
        return not self.centres_um.any()


def disc_medium(
    *, diameter_um: float, attenuation_per_um: float, centre_um: tuple[float, float] = (0.0, 0.0)
) -> Medium:
    """Return a sample alone, as a cylinder; `InputError` for a negative size or attenuation."""
    if diameter_um < 0.0 or attenuation_per_um < 0.0:
        raise InputError(
            "a sample's diameter (µm) and attenuation (1/µm) must not be negative: got "
            f"{diameter_um:g} and {attenuation_per_um:g}"
        )
    return Medium(
        centres_um=np.array([centre_um]),
        radii_um=np.array([0.5 * diameter_um]),
        contrast_per_um=np.array([[attenuation_per_um]]),
        interfaces_um=np.zeros(0),
    )


def cell_medium(
    cell: Cell,
    *,
    energy_keV: float,
    particle_fraction: float,
    particle_attenuation_per_um: float,
    layered: bool = True,
    plane_um: float = 0.0,
) -> Medium:
    """Return the cell around the measured slice, with particles spread evenly in the electrode.

    ``particle_fraction`` is their volume fraction, ``particle_attenuation_per_um`` that of solid.
    Without ``layered`` every layer is like the electrode's. ``plane_um`` adds to
    ``slice_height_um``. `InputError` for a fraction outside 0–1.
    """
    if not 0.0 <= particle_fraction <= 1.0:
        raise InputError(f"a volume fraction must lie within 0–1: got {particle_fraction:g}")
    attenuation = [
        linear_attenuation_per_um(
            substance(name).composition, energy_keV=energy_keV,
            density_g_per_cm3=substance(name).density_g_per_cm3,
        )
        for name in substance_names()
    ]  # fmt: skip
    contents = cell.contents @ np.array(attenuation)
    disc = REGIONS.index("disc")
    filler = (1.0 - particle_fraction) * contents[disc, ELECTRODE]
    contents[disc, ELECTRODE] = filler + particle_fraction * particle_attenuation_per_um
    interfaces_um = cell.interfaces_um - plane_um
    if not layered:
        contents, interfaces_um = contents[:, [ELECTRODE]], np.zeros(0)
    return Medium(
        centres_um=cell.centres_um,
        radii_um=cell.radii_um,
        contrast_per_um=np.diff(contents, axis=0, prepend=0.0),
        interfaces_um=interfaces_um,
    )


def exit_ratio(
    medium: Medium, *, offsets_um: Floats, angle_rad: float, u: Floats, v: Floats
) -> Floats:
    """Return R of directions (u, v), each (direction,), for every ray: (offset, direction).

    Scatterers are uniform along the ray within the innermost circle that it meets; a ray that
    meets none has 1.
    """
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    places, weights = np.polynomial.legendre.leggauss(_PLACES)
    u, v = np.append(0.0, u), np.append(0.0, v)
    enter_um, leave_um = _layer_spans(medium.interfaces_um, v)
    ratio = np.ones((offsets_um.size, u.size))
    _exit_ratio(
        offsets_um, medium.centres_um @ np.array([cos, sin]),
        medium.centres_um @ np.array([-sin, cos]), medium.radii_um, medium.contrast_per_um,
        places, 0.5 * weights, u, v, enter_um, leave_um, ratio,
    )  # fmt: skip
    return ratio[:, 1:]


def exit_factors(
    medium: Medium, *, offsets_um: Floats, angle_rad: float, u: Floats, v: Floats
) -> tuple[Floats, Floats]:
    """Return U, (offset, u), and V, (offset, v), of R(u, v) ≈ U(u) V(v).

    On a detector normal to the beam u depends on the column alone and v on the row. For linear
    interpolation over a frame (±0.26) 17 nodes in u (4e-5) and 129 in v (1e-3) serve. The
    product misses R, at 2θ ≤ 15°, by up to 5e-4 without layers. The steel under the electrode
    shadows the lower half of rings, by up to 40 %; there the product is off by 2 % for central
    rays and 6 % halfway to the rim at 15°, and by 0.2 % in the mean over a ring.
    """
    across = exit_ratio(medium, offsets_um=offsets_um, angle_rad=angle_rad, u=u, v=np.zeros(u.size))
    upwards = exit_ratio(
        medium, offsets_um=offsets_um, angle_rad=angle_rad, u=np.zeros(v.size), v=v
    )
    return across, upwards


def ring_exit_factor(
    medium: Medium,
    *,
    offsets_um: Floats,
    angle_rad: float,
    two_theta_rad: Floats,
    polarisation: float = 0.0,
    live: Floats | None = None,
) -> Floats:
    """Return the mean of R over rings, weighted with polarisation, shape (offset, 2θ).

    ``live`` (2θ, sector) is how much of each of ``SECTORS`` sectors of a ring is seen; by default,
    and of rings of which nothing is seen, the whole.
    """
    azimuth = np.asarray((np.arange(SECTORS) + 0.5) * (2.0 * np.pi / SECTORS), np.float64)
    slope = np.tan(two_theta_rad)[:, None]
    u, v = slope * np.cos(azimuth), slope * np.sin(azimuth)
    ratio = exit_ratio(
        medium, offsets_um=offsets_um, angle_rad=angle_rad, u=u.ravel(), v=v.ravel()
    ).reshape(offsets_um.size, two_theta_rad.size, SECTORS)
    weight = polarisation_factor(two_theta_rad[:, None], azimuth, degree=polarisation)
    if live is not None:
        weight = weight * np.where(live.any(axis=1, keepdims=True), live, 1.0)
    return np.asarray(np.sum(ratio * weight, axis=-1) / weight.sum(axis=-1))


def _layer_spans(interfaces_um: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Return where along s a way that rises with slope v enters and leaves each layer.

    Each of shape (direction, layer); layers never met are left before they are entered.
    """
    edges_um = np.concatenate([[-np.inf], interfaces_um, [np.inf]])
    level = v == 0.0
    met = np.where(level[:, None], np.inf, edges_um / np.where(level, 1.0, v)[:, None])
    enter = np.minimum(met[:, :-1], met[:, 1:])
    leave = np.maximum(met[:, :-1], met[:, 1:])
    here = (edges_um[:-1] < 0.0) & (edges_um[1:] >= 0.0)
    enter[level] = np.where(here, -np.inf, np.inf)
    leave[level] = np.where(here, np.inf, -np.inf)
    return enter, leave


@compiled
def _exit_ratio(
    offsets_um: Floats,
    across_um: Floats,
    along_um: Floats,
    radii_um: Floats,
    contrast_per_um: Floats,
    places: Floats,
    weights: Floats,
    u: Floats,
    v: Floats,
    enter_um: Floats,
    leave_um: Floats,
    ratio: Floats,
) -> None:
    """Fill ``ratio`` (see `exit_ratio`); the first direction is straight on."""
    for i in range(offsets_um.size):
        emitter = radii_um.size - 1
        while emitter >= 0 and abs(offsets_um[i] - across_um[emitter]) >= radii_um[emitter]:
            emitter -= 1
        if emitter < 0:
            continue
        half = np.sqrt(radii_um[emitter] ** 2 - (offsets_um[i] - across_um[emitter]) ** 2)
        ratio[i, :] = 0.0
        for g in range(places.size):
            s = along_um[emitter] + half * places[g]
            straight = 0.0
            for k in range(u.size):
                depth = 0.0
                for c in range(radii_um.size):
                    first, last = _crossing(
                        offsets_um[i] - across_um[c], s - along_um[c], radii_um[c], u[k]
                    )
                    if last <= 0.0:
                        continue
                    for j in range(enter_um.shape[1]):
                        inside = min(last, leave_um[k, j]) - max(first, enter_um[k, j])
                        depth += contrast_per_um[c, j] * max(inside, 0.0)
                depth *= np.sqrt(1.0 + u[k] * u[k] + v[k] * v[k])
                if k == 0:
                    straight = depth
                ratio[i, k] += weights[g] * np.exp(straight - depth)


@compiled
def _crossing(t_um: float, s_um: float, radius_um: float, u: float) -> tuple[float, float]:
    """Where, along s, a way from (t, s) with slope u enters and leaves a circle around (0, 0).

    From within it enters at 0; (0, 0) if it never meets the circle.
    """
    a = 1.0 + u * u
    b = t_um * u + s_um
    root = b * b - a * (t_um * t_um + s_um * s_um - radius_um * radius_um)
    if root <= 0.0:
        return 0.0, 0.0
    root = np.sqrt(root)
    return max((-root - b) / a, 0.0), max((root - b) / a, 0.0)
