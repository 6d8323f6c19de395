"""What of the cell a ray crosses: µm of each substance, and where along the beam.

Along the beam. A circle of radius R whose centre lies at (t_c, s_c) is crossed from s_c − h to
s_c + h, h = √(R² − (t − t_c)²). The beam's width blurs h: its mean over a strip is a closed form
(:func:`forward.chords.circle_segment_area_um2`), and strips are weighted with the beam's profile.
What lies between two nodes s_j and s_{j+1} = s_j + Δ is shared out to them in proportion to its
nearness, which keeps amount and mean position of everything exactly.

Along the axis. The interface between two layers has height z_k over the beam's middle, of which
the share Φ(z_k/σ) lies below it, Φ the normal distribution. Tilt and bending make the height
change along the ray; where it does so evenly from z_a to z_b, the mean share is

    σ/(z_b − z_a) · [ψ(z_b/σ) − ψ(z_a/σ)],        ψ(u) = u Φ(u) + φ(u),

and this is used between nodes. Tails are further Gaussians in the beam's profile.

Lengths count whole circles, so contents are contrasts (:attr:`phantoms.cell.Cell.contrasts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from forward.chords import circle_segment_area_um2
from phantoms.cell import ELECTRODE, LAYERS, REGIONS, Cell
from xrdct.compiled import compiled
from xrdct.errors import InputError
from xrdct.instrument import Beam
from xrdct.normal import FWHM_PER_SIGMA

Floats = NDArray[np.float64]
Tails = Sequence[tuple[float, float]]
"""Further Gaussians of the beam's height, (share of the beam, FWHM in µm)."""

_SHARP_UM = 1e-3
"""Width of a beam that has none."""
_DISC = REGIONS.index("disc")
_STRIPS = 10
_EVEN = 1e-3
"""Change of z/σ below which the share is that of the middle (error 1e-8)."""


@dataclass(frozen=True, eq=False)
class CellPaths:
    """One projection through the cell."""

    paths_um: Floats
    """µm of each substance by node along the beam, shape (offset, node, substance)."""
    electrode_share: Floats
    """Share of the beam that meets the electrode's layer, on the way through the disc, (offset,).

    Times this, the paths of a ray in the measured slice are those in the electrode.
    """


def cell_paths(
    cell: Cell,
    *,
    offsets_um: Floats,
    angle_rad: float,
    particle_path_um: Floats,
    nodes_um: Floats,
    beam: Beam | None,
    tails: Tails = (),
    plane_um: float = 0.0,
) -> CellPaths:
    """Return what each ray crosses besides particles.

    ``particle_path_um`` (offset,) is the solid crossed if all the beam is in the electrode; the
    particles are taken to be spread evenly over the disc's chord. ``nodes_um`` are uniform and
    reach beyond the body. ``beam`` None is an infinitely thin one. ``plane_um`` is added to
    ``slice_height_um``. `InputError` for tails that are not shares of a beam.
    """
    half_um = half_chords_um(cell, offsets_um=offsets_um, angle_rad=angle_rad, beam=beam)
    along_um = cell.centres_um @ np.array([-np.sin(angle_rad), np.cos(angle_rad)])
    middle_um = along_um[:, None, None]
    start_um = np.clip(middle_um - half_um[:, :, None], nodes_um[:-1], nodes_um[1:])
    stop_um = np.clip(middle_um + half_um[:, :, None], nodes_um[:-1], nodes_um[1:])
    lengths_um = stop_um - start_um
    shares = np.stack(
        [
            _layer_shares(
                cell, offsets_um=offsets_um, angle_rad=angle_rad, start_um=start, stop_um=stop,
                nodes_um=nodes_um, profile=_height_profile(beam, tails), plane_um=plane_um,
            )
            for start, stop in zip(start_um, stop_um, strict=True)
        ]
    )  # fmt: skip
    nearness = (0.5 * (start_um + stop_um) - nodes_um[:-1]) / (nodes_um[1] - nodes_um[0])
    contents = cell.contrasts
    chord_um = 2.0 * half_um[_DISC]
    safe_um = np.maximum(chord_um, 1e-9)
    filled = np.minimum(particle_path_um / safe_um, 1.0)
    by_layer = lengths_um[..., None] * shares
    amount = np.einsum("cojk,ckm->ojm", by_layer * (1.0 - nearness)[..., None], contents)
    beyond = np.einsum("cojk,ckm->ojm", by_layer * nearness[..., None], contents)
    electrode_um = by_layer[_DISC, :, :, ELECTRODE]
    taken = (electrode_um * filled[:, None])[..., None] * cell.contents[_DISC, ELECTRODE]
    amount -= taken * (1.0 - nearness[_DISC])[..., None]
    beyond -= taken * nearness[_DISC][..., None]
    paths = np.zeros((offsets_um.size, nodes_um.size, contents.shape[-1]))
    paths[:, :-1] += amount
    paths[:, 1:] += beyond
    share = np.where(chord_um > 1e-9, electrode_um.sum(axis=1) / safe_um, 1.0)
    return CellPaths(paths, share)


def half_chords_um(
    cell: Cell, *, offsets_um: Floats, angle_rad: float, beam: Beam | None
) -> Floats:
    """Return half the chord through each whole circle, mean over the beam, (region, offset)."""
    across_um = cell.centres_um @ np.array([np.cos(angle_rad), np.sin(angle_rad)])
    if beam is None:
        return _mean_half_chords(offsets_um, across_um, cell.radii_um, np.ones(1), _SHARP_UM)
    sigma_um = beam.width_um / FWHM_PER_SIGMA
    step_um = 0.5 * sigma_um
    strips = np.arange(-_STRIPS, _STRIPS + 1) * step_um
    weights = np.exp(-0.5 * strips**2 / (sigma_um**2 - step_um**2 / 12.0))
    weights /= weights.sum()
    return _mean_half_chords(offsets_um, across_um, cell.radii_um, weights, step_um)


def _height_profile(beam: Beam | None, tails: Tails) -> list[tuple[float, float]]:
    """Return the Gaussians of the beam's height as (weight, σ in µm)."""
    weights = [weight for weight, _ in tails]
    if any(w < 0.0 for w in weights) or sum(weights) > 1.0 or any(f <= 0.0 for _, f in tails):
        raise InputError(
            "tails of a beam must be (share, FWHM), shares from 0 to 1 in total and FWHM positive: "
            f"got {list(tails)}"
        )
    core_um = _SHARP_UM if beam is None else beam.height_um
    components = [(1.0 - sum(weights), core_um), *tails]
    return [(weight, fwhm / FWHM_PER_SIGMA) for weight, fwhm in components]


def _layer_shares(
    cell: Cell,
    *,
    offsets_um: Floats,
    angle_rad: float,
    start_um: Floats,
    stop_um: Floats,
    nodes_um: Floats,
    profile: list[tuple[float, float]],
    plane_um: float,
) -> Floats:
    """Return the share of the beam in each layer between two points of the ray, within a cell.

    Layers are straight from node to node, for all circles alike: what an outer circle holds of a
    layer is then never less than what one within it does. Shape (offset, cell, layer), or
    (1, 1, layer) where the layers are flat.
    """
    levels_um = cell.interfaces_um - plane_um
    if cell.tilt_mrad == 0.0 and cell.sag_um == 0.0:
        first_um = last_um = levels_um[None, None]
    else:
        rise_um = _rise_um(
            cell, offsets_um=offsets_um[:, None], along_um=nodes_um, angle_rad=angle_rad
        )
        slope = np.diff(rise_um, axis=1) / np.diff(nodes_um)
        first_um, last_um = (
            (rise_um[:, :-1] + slope * (s - nodes_um[:-1]))[..., None] + levels_um
            for s in (start_um, stop_um)
        )
    below = np.zeros(first_um.shape)
    for weight, sigma_um in profile:
        below += weight * _mean_normal(first_um / sigma_um, last_um / sigma_um)
    edges = np.zeros((*below.shape[:-1], len(LAYERS) + 1))
    edges[..., 1:-1] = below
    edges[..., -1] = 1.0
    return np.diff(edges, axis=-1)


def _rise_um(cell: Cell, *, offsets_um: Floats, along_um: Floats, angle_rad: float) -> Floats:
    """Return how much higher the layers stand at points (t, s) than at the disc's centre."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    x_um = offsets_um * cos - along_um * sin - cell.electrode_centre_um[0]
    y_um = offsets_um * sin + along_um * cos - cell.electrode_centre_um[1]
    towards = np.deg2rad(cell.tilt_azimuth_deg)
    uphill_um = x_um * np.cos(towards) + y_um * np.sin(towards)
    bend = (x_um**2 + y_um**2) / cell.radii_um[_DISC] ** 2
    return np.asarray(np.tan(1e-3 * cell.tilt_mrad) * uphill_um + cell.sag_um * bend)


def _mean_normal(first: Floats, last: Floats) -> Floats:
    """Return the mean of Φ between two arguments."""
    change = last - first
    even = np.abs(change) < _EVEN
    middle = ndtr(0.5 * (first + last))
    if even.all():
        return np.asarray(middle)
    difference = _normal_integral(last) - _normal_integral(first)
    return np.where(even, middle, difference / np.where(even, 1.0, change))


def _normal_integral(u: Floats) -> Floats:
    """Return ψ(u) = u Φ(u) + φ(u), the integral of Φ from −∞."""
    return np.asarray(u * ndtr(u) + np.exp(-0.5 * np.minimum(u * u, 1e3)) / np.sqrt(2.0 * np.pi))


@compiled
def _mean_half_chords(
    offsets_um: Floats, across_um: Floats, radii_um: Floats, weights: Floats, step_um: float
) -> Floats:
    """Return half chords averaged over weighted strips around each offset, (circle, offset)."""
    half = np.zeros((radii_um.size, offsets_um.size))
    middle = weights.size // 2
    for c in range(radii_um.size):
        radius = radii_um[c]
        for i in range(offsets_um.size):
            first = offsets_um[i] - across_um[c] - (middle + 0.5) * step_um
            before = np.sign(first) * circle_segment_area_um2(abs(first), radius)
            for k in range(weights.size):
                edge = first + (k + 1) * step_um
                area = np.sign(edge) * circle_segment_area_um2(abs(edge), radius)
                half[c, i] += 0.5 * weights[k] * (area - before) / step_um
                before = area
    return half
