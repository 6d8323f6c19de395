"""Weight fractions from the scales of a refinement, with the covariance of scales and cells.

The mass of a phase per volume of a voxel is its scale s times a density. Scales come in two
conventions, with M the mass of the cell's content (Z times the formula's) and V its volume:

    "volume"      s = φ, the volume fraction:                m = s M / V
    "rietveld"    s = φ/V², as Rietveld programs have it:    m = s M V,  the S·(ZMV) of the source

Then W_p = m_p / Σ m, and by the delta method

    δW_p = (δm_p − W_p Σ_q δm_q) / Σ_q m_q,        δm = (m/s) δs ∓ (m/V) δV.

Errors of fractions sum to zero, so every row of their covariance does. It is of first order: where
a scale was held above zero, the esd of a fraction near zero is that of the free scale. What is not
crystalline, or not among the given phases, does not count. A refined occupancy changes M.

Source: Hill & Howard, J. Appl. Cryst. 20 (1987) 467.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inverse.cell_parameters import cell_law
from xrdct.crystal import Crystal
from xrdct.errors import InputError

Floats = NDArray[np.float64]
Convention = Literal["volume", "rietveld"]

_POWER_OF_VOLUME = {"volume": -1.0, "rietveld": 1.0}


@dataclass(frozen=True, eq=False)
class Fractions:
    """Shares of phases, which sum to one; NaN where no phase has an amount or one is unknown."""

    phases: tuple[str, ...]
    values: Floats
    """Shape (pattern, phase)."""
    covariance: Floats | None
    """Shape (pattern, phase, phase); None where none was given for the scales."""

    @property
    def esd(self) -> Floats:
        """Standard uncertainties, (pattern, phase); NaN without a covariance."""
        if self.covariance is None:
            return np.full(self.values.shape, np.nan)
        return np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0))

    def of(self, phase: str) -> Floats:
        """Return the shares of one phase, (pattern,); `InputError` if there is no such phase."""
        return np.asarray(self.values[:, self._index(phase)])

    def esd_of(self, phase: str) -> Floats:
        """Return the esd of one phase's shares, (pattern,); `InputError` as :meth:`of`."""
        return np.asarray(self.esd[:, self._index(phase)])

    def _index(self, phase: str) -> int:
        if phase not in self.phases:
            raise InputError(f"no phase is called {phase!r}, only {', '.join(self.phases)}")
        return self.phases.index(phase)


@dataclass(frozen=True, eq=False)
class _Parameters:
    """Refined values with what they are called."""

    values: Floats
    """Shape (pattern, name)."""
    names: Sequence[str]
    tied: Mapping[str, str]

    def place(self, name: str) -> int | None:
        """Return the column of a parameter, or of the one it follows; None if it is fixed."""
        name = self.tied.get(name, name)
        return self.names.index(name) if name in self.names else None


def weight_fractions(
    values: Floats,
    *,
    names: Sequence[str],
    crystals: Mapping[str, Crystal],
    covariance: Floats | None = None,
    convention: Convention = "volume",
    tied: Mapping[str, str] | None = None,
    sites: Mapping[str, str] | None = None,
) -> Fractions:
    """Return the weight fractions of the phases in ``crystals``, by their labels.

    values (pattern, name) are refined parameters: of a phase labelled X its scale, "X.scale", and
    what of its cell was refined, such as "X.a_A" or "X.beta_deg". Other parameters are ignored, and
    cells that were not refined, or not found (NaN), are those of the crystals. covariance:
    (pattern, name, name). ``tied`` names the parameter that another one follows, as "Y.a_A":
    "X.a_A"; ``sites`` the site, by its label, on which "X.occupancy" is a factor, by phase.

    Raises InputError where shapes do not agree, or a phase has no scale or no such site.
    """
    values, covariance = _checked(values, names, covariance)
    parameters = _Parameters(values, names, tied or {})
    power = _POWER_OF_VOLUME[convention]
    masses = np.empty((len(values), len(crystals)))
    slopes = np.zeros((len(values), len(crystals), len(names)))
    for p, (label, crystal) in enumerate(crystals.items()):
        scale = values[:, _scale_place(names, label)]
        volume, by_cell = _volume(parameters, label, crystal)
        content_u, by_occupancy = _content_u(parameters, label, crystal, (sites or {}).get(label))
        per_scale = content_u * volume**power
        masses[:, p] = scale * per_scale
        slopes[:, p, _scale_place(names, label)] = per_scale
        for place, slope in by_cell.items():
            slopes[:, p, place] += power * masses[:, p] / volume * slope
        for place, slope in by_occupancy.items():
            slopes[:, p, place] += masses[:, p] / content_u * slope
    return _shares(tuple(crystals), masses, slopes, covariance)


def volume_shares(
    values: Floats,
    *,
    names: Sequence[str],
    phases: Sequence[str],
    covariance: Floats | None = None,
) -> Fractions:
    """Return what part of the phases' common volume each takes: volume fractions made to sum to 1.

    Arguments and errors as for :func:`weight_fractions`, with scales that are volume fractions.
    """
    values, covariance = _checked(values, names, covariance)
    places = [_scale_place(names, phase) for phase in phases]
    slopes = np.zeros((len(values), len(places), len(names)))
    slopes[:, np.arange(len(places)), places] = 1.0
    return _shares(tuple(phases), values[:, places], slopes, covariance)


def volume_from_rietveld(scales: Floats, *, volume_A3: Floats) -> Floats:
    """Return φ = S·V², in the unit of S times Å⁶; arrays that broadcast.

    Rietveld programs leave out constants of the instrument, so φ is in general only relative.
    """
    return np.asarray(scales * np.asarray(volume_A3) ** 2)


def rietveld_from_volume(volume_fractions: Floats, *, volume_A3: Floats) -> Floats:
    """Return S = φ/V², in Å⁻⁶; arrays that broadcast."""
    return np.asarray(volume_fractions / np.asarray(volume_A3) ** 2)


def cell_volumes_A3(cells: Floats) -> tuple[Floats, Floats]:
    """Return volumes, (pattern,), and their slopes per Å and per degree, (pattern, 6).

    cells (pattern, 6): a, b, c in Å and α, β, γ in degrees.
    """
    edges, angles_rad = cells[:, :3], np.deg2rad(cells[:, 3:])
    cosine, sine = np.cos(angles_rad), np.sin(angles_rad)
    x, y, z = cosine.T
    box = np.prod(edges, axis=1)
    volume = box * np.sqrt(1.0 - x * x - y * y - z * z + 2.0 * x * y * z)
    leaning = np.stack([x - y * z, y - x * z, z - x * y], axis=1)
    slopes = np.empty(cells.shape)
    slopes[:, :3] = volume[:, None] / edges
    slopes[:, 3:] = np.deg2rad(sine * leaning * (box**2 / volume)[:, None])
    return volume, slopes


def _volume(
    parameters: _Parameters, label: str, crystal: Crystal
) -> tuple[Floats, dict[int, Floats]]:
    """Return a phase's cell volumes, (pattern,), and their slopes by place of the parameter."""
    law = cell_law(crystal)
    free = np.tile(law.free(crystal.cell_A_deg), (len(parameters.values), 1))
    places, known = {}, {}
    for k, name in enumerate(law.names):
        place = parameters.place(f"{label}.{name}")
        if place is not None:
            places[k] = place
            known[k] = np.isfinite(parameters.values[:, place])
            free[:, k] = np.where(known[k], parameters.values[:, place], free[:, k])
    volume, slopes = cell_volumes_A3(law.constant + free @ law.matrix.T)
    by_free = slopes @ law.matrix
    return volume, {place: np.where(known[k], by_free[:, k], 0.0) for k, place in places.items()}


def _content_u(
    parameters: _Parameters, label: str, crystal: Crystal, site_label: str | None
) -> tuple[Floats, dict[int, Floats]]:
    """Return the mass of the cell's content, u, (pattern,), and its slope by place."""
    content_u = np.full(len(parameters.values), crystal.cell_mass_u)
    place = parameters.place(f"{label}.occupancy")
    if site_label is None or place is None:
        return content_u, {}
    of_label = [site for site in crystal.sites if site.label == site_label]
    if not of_label:
        labels = ", ".join(site.label for site in crystal.sites)
        raise InputError(f"phase {label} has no site {site_label!r}, only {labels}")
    others = [site for site in crystal.sites if site.label != site_label]
    of_site_u = crystal.cell_mass_u - (crystal.with_sites(others).cell_mass_u if others else 0.0)
    factor = parameters.values[:, place]
    known = np.isfinite(factor)
    content_u += of_site_u * (np.where(known, factor, 1.0) - 1.0)
    return content_u, {place: np.where(known, of_site_u, 0.0)}


def _shares(
    phases: tuple[str, ...], amounts: Floats, slopes: Floats, covariance: Floats | None
) -> Fractions:
    """Divide amounts (pattern, phase) by their sum, and propagate the parameters' covariance."""
    total = amounts.sum(axis=1)
    total = np.where(total > 0.0, total, np.nan)
    shares = amounts / total[:, None]
    if covariance is None:
        return Fractions(phases, shares, None)
    moved = slopes - shares[:, :, None] * slopes.sum(axis=1, keepdims=True)
    moved /= total[:, None, None]
    # A parameter without effect, as the cell of a phase that was not found, has no covariance.
    without = np.all(slopes == 0.0, axis=1)
    known = np.where(without[:, :, None] | without[:, None, :], 0.0, covariance)
    moved = np.where(without[:, None, :], 0.0, moved)
    return Fractions(phases, shares, moved @ known @ np.swapaxes(moved, 1, 2))


def _scale_place(names: Sequence[str], label: str) -> int:
    name = f"{label}.scale"
    if name not in names:
        raise InputError(f"phase {label} needs a parameter {name!r}, but there are: {names}")
    return names.index(name)


def _checked(
    values: Floats, names: Sequence[str], covariance: Floats | None
) -> tuple[Floats, Floats | None]:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise InputError(
            f"values must have one column for each of {len(names)} names, not the shape "
            f"{values.shape}"
        )
    if covariance is None:
        return values, None
    covariance = np.asarray(covariance, dtype=np.float64)
    if covariance.shape != (*values.shape, values.shape[1]):
        raise InputError(
            f"covariance must have the shape {(*values.shape, values.shape[1])}, not "
            f"{covariance.shape}"
        )
    return values, covariance
