"""Whether a trimmed mean will take rings away because few crystallites reflect.

On the first ring of the spinel, (111), of radius r pixels, a ray of s µm of solid shows

    s · (area of the beam) · (reflecting crystallites per µm³) / (2π r)

spots to a pixel. Where these are far fewer than one, pixels are mostly empty or bright, and the
mean without the brightest is a share of the ring that depends on s: rays no longer add up
(:mod:`forward.ring_trimming`, docs/limits.md). s is the sample's mean chord, π/4 of its diameter,
times its share of solid; for particles written one by one, the mean chord of the largest, 2/3 of
its diameter.
"""

from __future__ import annotations

import numpy as np

from forward.grains import acceptance_rad, beam_area_um2, grains_per_um3
from validation.experiment import Experiment, ParticleList

_LEAST_KEPT = 0.9
"""Of the ring; below, half the path keeps a few per cent less of its own."""
_A_A, _MULTIPLICITY = 8.2, 8.0
"""Of the spinel's (111)."""


def crystallite_warnings(experiment: Experiment) -> list[str]:
    """Return a warning where trimming will take more than a tenth of the spinel's first ring."""
    lower, upper = experiment.recipe.integration.left_out
    grain_um, path_um = _grain_and_path_um(experiment)
    if upper == 0.0 or grain_um is None or not experiment.effects.grains:
        return []
    from forward.pattern_statistics import ring_trimming  # its tables take a while to load
    from forward.ring_trimming import kept_fraction

    spots = _spots_per_pixel(experiment, grain_um, path_um)
    given = ring_trimming(lower, upper) | {"fwhm_px": experiment.grains.spot_fwhm_px}
    kept = float(kept_fraction(spots, **given))
    if kept >= _LEAST_KEPT:
        return []
    return [
        f"few crystallites of {grain_um:g} µm reflect at a time ({spots:.2g} spots to a pixel of "
        f"the spinel's (111)): a mean without the brightest {100.0 * upper:g} % of the pixels "
        f"keeps about {100.0 * kept:.0f} % of the ring, less where rays are short; take "
        'recipe.integration.method = "mean"'
    ]


def _grain_and_path_um(experiment: Experiment) -> tuple[float | None, float]:
    sample = experiment.sample
    if isinstance(sample, ParticleList):
        countable = [p for p in sample.particles if p.grain_um is not None]
        largest = max(countable, key=lambda p: p.diameter_um, default=None)
        return (
            (None, 0.0) if largest is None else (largest.grain_um, largest.diameter_um * 2.0 / 3.0)
        )
    solid = float(getattr(sample, "volume_fraction", 1.0))
    return getattr(sample, "grain_um", None), 0.25 * np.pi * sample.diameter_um * solid


def _spots_per_pixel(experiment: Experiment, grain_um: float, path_um: float) -> float:
    beam, geometry = experiment.beam, experiment.geometry
    theta_rad = float(np.arcsin(0.5 * beam.wavelength_A * np.sqrt(3.0) / _A_A))
    per_um3 = grains_per_um3(
        grain_um, multiplicity=_MULTIPLICITY, theta_rad=theta_rad,
        acceptance_rad=acceptance_rad(
            theta_rad, grain_um=grain_um, beam=beam, grains=experiment.grains
        ),
    )  # fmt: skip
    radius_px = (
        geometry.distance_m * np.tan(2.0 * theta_rad) / (experiment.detector.pixel_um * 1e-6)
    )
    return float(path_um * beam_area_um2(beam) * per_um3 / (2.0 * np.pi * radius_px))
