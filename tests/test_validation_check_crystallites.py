"""What `check` tells of trimming where few crystallites reflect."""

from __future__ import annotations

import numpy as np
import pytest

from forward.settings import Effects
from inverse.recipe import Recipe
from phantoms.library import Electrode
from phantoms.particle import Particle
from validation.bounds_optics import prepare_optics
from validation.check import forecast
from validation.check_crystallites import _spots_per_pixel, crystallite_warnings
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Geometry
from xrdct.scan import Scan

GEOMETRY = Geometry(two_theta_min_deg=2.5, two_theta_max_deg=8.5, n_channels=448)


def electrode(grain_um: float | None, *, method: str = "trimmed_5_5", **more: object) -> Experiment:
    recipe = Recipe.model_validate({"n_background": 3, "integration": {"method": method}})
    sample = Electrode(diameter_um=100.0, volume_fraction=0.45, grain_um=grain_um)
    scan = Scan(n_offsets=121, step_um=1.0, n_angles=240)
    return Experiment(sample=sample, scan=scan, geometry=GEOMETRY, recipe=recipe, **more)


def test_it_is_told_where_trimming_takes_more_than_a_tenth_and_only_there():
    # Truth: the rule. Crystallites of 0.2 µm in 100 µm lose a fifth; 64 times as many, none.
    (told,) = crystallite_warnings(electrode(0.2))
    assert "0.2 µm" in told
    assert 'method = "mean"' in told
    assert told in forecast(electrode(0.2)).warnings
    assert crystallite_warnings(electrode(0.05)) == []
    assert crystallite_warnings(electrode(0.2, method="mean")) == []
    assert crystallite_warnings(electrode(None)) == []
    assert crystallite_warnings(electrode(0.2, effects=Effects(grains=False))) == []


def test_spots_are_those_of_the_simulators_first_ring():
    # Truth: grains per µm and radius of the same ring, (111), in the simulator. Lattice parameters
    # are within 1 % of the 8.2 Å taken here, which moves either by as much.
    ball = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=18.0, grain_um=0.2)
    given = electrode(0.2).model_copy(
        update={"sample": ParticleList(particles=(ball,)),
                "scan": Scan(n_offsets=21, step_um=1.0, n_angles=10)}
    )  # fmt: skip
    rings = prepare_optics(given, rough=True).rings.rings
    first = int(np.argmin(rings.radius_px))
    expected = 12.0 * rings.grains_per_um[first] / (2.0 * np.pi * rings.radius_px[first])
    assert _spots_per_pixel(given, 0.2, 12.0) == pytest.approx(expected, rel=0.03)
    (told,) = crystallite_warnings(given)  # 12 µm of path: a third of the electrode's
    assert "spots to a pixel" in told
