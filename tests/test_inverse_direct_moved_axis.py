"""Maps of the direct method lie in the view about the axis that its fit found."""

from __future__ import annotations

import numpy as np

from forward.motion import Motion
from forward.settings import Effects
from inverse import chain
from inverse.axis_certainty import KnownAxis
from inverse.geometry import view_radius
from inverse.recipe import Recipe
from inverse.recover import recover
from inverse.refine import Status
from phantoms.particle import Particle, RadialLaw
from tests.gradient_particle import small
from validation.experiment import ParticleList
from validation.steps import simulate
from xrdct.instrument import Geometry
from xrdct.scan import Scan

AXIS_UM = 0.6
N_OFFSETS = 15
REACH_UM = 13.0


def test_a_voxel_that_the_moved_axis_takes_out_of_view_is_not_measured(monkeypatch):
    # Definition: a voxel is measured where every projection sees it. A window in the middle of a
    # wider particle, over a full turn, about an axis that the steps before the fit have 0.6 µm off;
    # all voxels of the view hold material, so that no other status could hide one.
    monkeypatch.setattr(chain, "known_axis", lambda *_args, **_given: KnownAxis(0.0, 0.0))
    particle = Particle(
        centre_um=(0.0, 0.0, 0.0), diameter_um=24.0, x=RadialLaw(core=0.98, surface=0.85)
    )
    experiment = small(
        sample=ParticleList(particles=(particle,)),
        scan=Scan(n_offsets=N_OFFSETS, step_um=1.0, n_angles=60, angle_range_deg=360.0),
        geometry=Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        motion=Motion(axis_offset_um=AXIS_UM),
        effects=Effects(noise=False, grains=False),
        recipe=Recipe.model_validate(
            {
                "n_background": 3,
                "sinogram": {"rotation_axis": "find", "regrid": True},
                "reconstruction": {"method": "direct"},
                "direct": {"n_iterations": 30, "bias": "none", "reach_um": REACH_UM},
            }
        ),
    )
    maps = recover(simulate(experiment).raw)
    axis_um = maps.axis_offset_um
    assert axis_um is not None
    assert abs(axis_um) > 0.25
    place = np.arange(N_OFFSETS) - 0.5 * (N_OFFSETS - 1)
    away_um = np.hypot(*np.meshgrid(place, place))
    in_view = away_um <= view_radius(N_OFFSETS, step_um=1.0, axis_offset_um=axis_um) + 1e-9
    np.testing.assert_array_equal(maps.status != Status.NOT_MEASURED, in_view)
    assert (
        in_view.sum() < (away_um <= view_radius(N_OFFSETS, step_um=1.0, axis_offset_um=0.0)).sum()
    )
