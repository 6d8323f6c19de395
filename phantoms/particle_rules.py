"""The rules that the particles of a sample must keep, each told of the particle that breaks it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from phantoms.outline import rough_surface, shape_of
from phantoms.particle import Particle, RadialLaw
from phantoms.radial_cuts import values_at
from phantoms.shape import RoughOutline
from phantoms.stoichiometry import filled_fraction
from xrdct.errors import InputError

_RADII = np.array([0.0, 1.0, *np.linspace(0.0, 1.0, 33)[1:-1]])
"""Relative radii, core and surface first: what is found wrong is told as it was written."""
_ROUNDING = 1e-12
_LEAST_RELATIVE_RADIUS = 0.2


def named(particle: Particle, number: int) -> str:
    """Name a particle so that it is found in a list, whatever one counts from."""
    centre = ", ".join(f"{value:g}" for value in particle.centre_um)
    return f"particles[{number}] (centre {centre} µm)"


def check_contents(particles: Sequence[Particle]) -> None:
    """Raise InputError unless x and y are in their ranges at every radius.

    Laws are checked at 33 radii, tables at their nodes too, between which they are linear.
    """
    tables = [_tables(p) for p in particles]
    plain = [p for p, own in zip(particles, tables, strict=True) if not own]
    try:
        _check_content(plain, _RADII)
    except InputError:  # checked all at once for speed; now look for which
        for number, particle in enumerate(particles):
            _check_one(particle, number, _RADII)
    for number, (particle, own) in enumerate(zip(particles, tables, strict=True)):
        if own:
            _check_one(particle, number, np.array([*(r for t in own for r in t), *_RADII]))


def _tables(particle: Particle) -> list[tuple[float, ...]]:
    laws = (particle.x, particle.y)  # asked for the common kinds first, since that is quicker
    return [
        law.r_over_R
        for law in laws
        if not isinstance(law, float) and not isinstance(law, RadialLaw)
    ]


def _check_one(particle: Particle, number: int, radii: NDArray[np.float64]) -> None:
    try:
        _check_content([particle], radii)
    except InputError as error:
        raise InputError(f"{named(particle, number)}: {error}") from error


def _check_content(particles: Sequence[Particle], radii: NDArray[np.float64]) -> None:
    owner = np.repeat(np.arange(len(particles)), radii.size)
    r_over_R = np.tile(radii, len(particles))
    x = values_at([p.x for p in particles], owner=owner, r_over_R=r_over_R)
    filled_fraction(x, y=values_at([p.y for p in particles], owner=owner, r_over_R=r_over_R))


def check_shells(particles: Iterable[Particle], *, spinel: str) -> None:
    """Raise InputError unless shells lie inside their particle and leave no less than nothing."""
    for number, particle in enumerate(particles):
        if not particle.shells:
            continue
        for shell in particle.shells:
            if shell.phase == spinel:
                raise InputError(
                    f"{named(particle, number)}: a shell cannot be of {spinel}, which the particle "
                    "itself is made of: give x and y as laws of the radius instead"
                )
            if shell.depth_um >= particle.radius_um:
                raise InputError(
                    f"{named(particle, number)}: its shell of {shell.phase} begins at a depth of "
                    f"{shell.depth_um:g} µm, but its radius is {particle.radius_um:g} µm"
                )
        if sum(max(shell.ends) for shell in particle.shells) <= 1.0:
            continue  # cannot exceed 1 at any depth
        total = float(np.max(_shell_totals(particle)))
        if total > 1.0 + _ROUNDING:
            raise InputError(
                f"{named(particle, number)}: weight fractions of its shells add up to {total:.3g} "
                "at some depth, but must not exceed 1"
            )


def _shell_totals(particle: Particle) -> NDArray[np.float64]:
    """Return the summed weight fraction just inside both ends of every piece between borders.

    Between the borders of its shells the sum is linear, so these are its extremes.
    """
    borders = [d for s in particle.shells for d in s.borders_um if d < particle.radius_um]
    edges = np.unique([0.0, *borders, particle.radius_um])
    inset = 1e-9 * np.diff(edges)
    depth_um = np.concatenate([edges[:-1] + inset, edges[1:] - inset])
    return sum((s.weight_fraction_at(depth_um) for s in particle.shells), np.zeros(depth_um.size))


def check_bodies(particles: Iterable[Particle]) -> None:
    """Raise InputError unless surfaces stay clear of the centre and voids begin in the particle."""
    for number, particle in enumerate(particles):
        if not particle.is_body:
            continue
        outline = particle.outline
        if isinstance(outline, RoughOutline):
            least = rough_surface(outline).least
            if least < _LEAST_RELATIVE_RADIUS:
                raise InputError(
                    f"{named(particle, number)}: its rough outline comes within {least:.2g} of its "
                    f"mean radius to the centre, but must keep {_LEAST_RELATIVE_RADIUS:g}: lower "
                    f"outline.roughness (now {outline.roughness:g}) or change outline.seed"
                )
        reach_um = shape_of(particle).reach_um
        places = [("pore", "centre_um", pore.centre_um) for pore in particle.pores]
        places += [("crack", "mouth_um", crack.mouth_um) for crack in particle.cracks]
        for kind, name, place in places:
            away_um = float(np.linalg.norm(place))
            if away_um > reach_um * (1.0 + _ROUNDING):
                raise InputError(
                    f"{named(particle, number)}: {name} of its {kind} lies {away_um:g} µm from its "
                    f"centre, but it reaches no further than {reach_um:g} µm"
                )
