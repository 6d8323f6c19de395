"""Take what lies outside the field of view out of the rays that cross it.

A region of interest (ROI) is scanned within a wider sample, so that its rays also carry what lies
before and behind it. Line integrals add up: a coarse scan of the wider sample is reconstructed,
what lies outside the ROI's circle of view is projected along the ROI's own rays, as seen from
there (parallax), and subtracted,

    value − ∫ outside the circle  coarse(x, y) ds.

Where the sample (its housing) is wider than the coarse scan as well, a broad scan does the same
for the coarse one; beyond the coarse scan's circle it also stands for the ROI's surroundings. All
scans are divided by their own transmission already, so that the same material has the same value
per µm in each. What the coarse pixels do not resolve remains in the rays.

Source: the broad, coarse and ROI scans of Finegan et al., Nat. Commun. 11 (2020) 631, Methods.
"""

from __future__ import annotations

from dataclasses import replace

from inverse.parallax_removal import without_parallax
from inverse.rings import Ring, add_ring, add_ring_variance, rays_of, ring_of, view_radius_um
from inverse.sinogram import Sinogram
from xrdct.errors import InputError


def without_outside(
    roi: Sinogram,
    *,
    coarse: Sinogram,
    broad: Sinogram | None = None,
    parallax: bool = True,
    filter_name: str = "ramp",
    workers: int | None = None,
) -> Sinogram:
    """Return the sinogram of what lies within the circle of view of ``roi`` alone.

    Steps, angles, axis offsets and channels of the scans may differ, rotation angles count from
    the same place. Channels that coarse or broad scan lack become NaN. Rays beyond the circle (of a
    window that is not centred on the axis) end up near zero. Beyond its ends the result is zero:
    reconstruct it with the padding "zero".

    The variance that is added to a ray's is not the one of the subtracted value, which is nearly
    the same for all rays within a coarse step, but the variance of independent rays which would
    make as much noise in the ROI's image as it does: see :func:`independent_share`.

    Raises InputError where the coarse scan's view is not wider than the ROI's, or the broad scan's
    not wider than the coarse one's.
    """
    rings = outside_rings(
        coarse, broad=broad, inner_um=view_radius_um(roi), parallax=parallax,
        filter_name=filter_name, workers=workers,
    )  # fmt: skip
    return _without(roi, rings, parallax=parallax, workers=workers)


def outside_rings(
    coarse: Sinogram,
    *,
    broad: Sinogram | None = None,
    inner_um: float,
    parallax: bool = True,
    filter_name: str = "ramp",
    workers: int | None = None,
) -> list[Ring]:
    """Return what coarse and broad scan show of the sample beyond the circle ``inner_um``.

    The coarse scan serves up to the end of its view, the broad one, which may be one for a whole
    series, from there on. Without a broad scan the coarse one is taken to see the whole sample.

    Raises InputError where a scan's view is not wider than the one within.
    """
    radius_um = view_radius_um(coarse)
    if radius_um <= inner_um:
        raise InputError(
            f"A scan used for the surroundings must see further than {inner_um:g} µm from the "
            f"axis, not {radius_um:g} µm."
        )
    beyond: list[Ring] = []
    if broad is not None:
        beyond = outside_rings(
            broad, inner_um=radius_um, parallax=parallax, filter_name=filter_name, workers=workers
        )
        coarse = _without(coarse, beyond, parallax=parallax, workers=workers)
    if parallax:
        coarse = without_parallax(coarse, filter_name=filter_name, workers=workers)
    own = ring_of(coarse, inner_um=inner_um, filter_name=filter_name, workers=workers)
    return [own, *beyond]


def _without(scan: Sinogram, rings: list[Ring], *, parallax: bool, workers: int | None) -> Sinogram:
    """Return the sinogram less the line integrals of rings, with the share of their variance."""
    values, variance = scan.values.copy(), scan.variance.copy()
    rays, onto_rad = rays_of(scan), scan.two_theta_rad
    for ring in rings:
        add_ring(
            values, ring, rays=rays, onto_rad=onto_rad, distance_m=scan.distance_m, factor=-1.0,
            parallax=parallax, workers=workers,
        )  # fmt: skip
        add_ring_variance(
            variance, ring, rays=rays, onto_rad=onto_rad, factor=independent_share(scan, ring),
            workers=workers,
        )  # fmt: skip
    return replace(scan, values=values, variance=variance)


def independent_share(roi: Sinogram, ring: Ring) -> float:
    """Return the share of a subtracted value's variance that counts like that of single rays.

    Noise of a scan of N angles and step h makes in its image a variance proportional to 1/(N·h²)
    (:mod:`inverse.reconstruct`), at equal variance of its rays. Noise that came from N′ angles with
    a step h′ varies as slowly as those, and so makes as much as independent rays of the ROI with

        (N/N′)·(h/h′)²

    of its variance: about 1 % for a coarse scan of 20 steps. An upper bound, since it comes from
    outside the circle and interpolation smooths it: of repeated noise, a seventh of it was found,
    more only in the outermost row of pixels.
    """
    angles = roi.angles_rad.size / ring.n_angles
    return float(angles * (roi.step_um / ring.grid.step_um) ** 2)
