"""The direct method as a whole: what differs where rays determine the sample, and how it starts."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from types import ModuleType

import numpy as np
import pytest

import inverse.direct_course
import inverse.direct_problem
from inverse.direct import _start_state
from inverse.direct_prior import bending_of
from inverse.recipe import Recipe
from inverse.recover import recover
from phantoms.particle import Particle
from tests.test_inverse_direct import problem_of
from validation.experiment import Experiment, ParticleList
from validation.metrics import lattice_metrics
from validation.steps import Simulated, simulate
from xrdct.instrument import Geometry
from xrdct.scan import Scan


def in_view_experiment() -> Experiment:
    """Return three particles within 21 µm, 48 angles."""
    places = [(-4.0, -3.0), (4.5, -1.0), (-0.5, 5.0)]
    particles = [
        Particle(centre_um=(*xy, 0.0), diameter_um=7.0, x={"core": 0.98, "surface": 0.85})
        for xy in places
    ]
    return Experiment.model_validate(
        {
            "sample": ParticleList(particles=tuple(particles)),
            "scan": Scan(n_offsets=25, step_um=1.0, n_angles=48),
            "geometry": Geometry(n_channels=200, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
            "seed": 5,
        }
    )


@lru_cache(maxsize=1)
def in_view() -> Simulated:
    """Return them simulated; a fraction of a second."""
    return simulate(in_view_experiment())


def counted(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> list[int]:
    """Return a list that grows by one with every call of a module's function."""
    calls, real = [], getattr(module, name)

    def calling(*arguments, **settings):
        calls.append(1)
        return real(*arguments, **settings)

    monkeypatch.setattr(module, name, calling)
    return calls


@pytest.mark.parametrize(("widths", "asked"), [("voxels", False), ("rays", True)])
def test_in_view_widths_are_those_of_voxels_unless_asked_for(monkeypatch, widths, asked):
    # Truth: the settings' own text; and what comes out is near the planted lattice parameters.
    calls = counted(monkeypatch, inverse.direct_problem, "shared_by_rays")
    simulated = in_view()
    chosen = {"widths_in_view": widths, "n_iterations": 20, "bias": "none"}
    wanted = Recipe.model_validate(
        dict(simulated.raw.recipe) | {"reconstruction": {"method": "direct"}, "direct": chosen}
    )
    maps = recover(simulated.raw, others={}, recipe=wanted)
    assert bool(calls) is asked
    # Far below the gradient of 13 mÅ between core and surface.
    assert lattice_metrics(maps, simulated.truth)["interior"]["rms_A"] < 2e-3


@pytest.mark.parametrize(
    ("axis", "by", "asked"),
    [("find", "rays", 3), ("find", "given", 0), ("middle", "rays", 0), (0.01, "rays", 0)],
)
def test_rays_tell_the_axis_where_the_recipe_finds_it(monkeypatch, axis, by, asked):
    # Truth: the settings' own text: between the four stages of the fit, or not at all; and not in
    # the fit of the result's own rays, whose axis is known.
    calls = counted(monkeypatch, inverse.direct_course, "axis_change_um")
    simulated = in_view()
    wanted = Recipe.model_validate(
        dict(simulated.raw.recipe)
        | {
            "sinogram": {"rotation_axis": axis},
            "reconstruction": {"method": "direct"},
            "direct": {"n_iterations": 10, "axis": by, "bias": "bootstrap"},
        }
    )
    recover(simulated.raw, others={}, recipe=wanted)
    assert len(calls) == asked


@pytest.mark.parametrize("filled", [0.3, 0.7])
def test_outside_the_view_nothing_is_taken_for_a_large_particle_at_first(filled):
    # Truth: where nothing is known of particles, bends count as in the thinnest material.
    simulated = in_view()
    start = recover(simulated.raw, others={}, recipe=Recipe.model_validate(simulated.raw.recipe))
    problem, inner = problem_of(radius_um=25.0), (slice(2, -2), slice(2, -2))
    everywhere = replace(
        start, a_A=start.a_A[inner], status=start.status[inner],
        volume_fraction=np.full_like(start.volume_fraction[inner], filled),
    )  # fmt: skip
    state = _start_state(problem, everywhere)
    scale = bending_of(problem.image(state.amount, empty=0.0)).scale
    outside = problem.image(
        np.hypot(problem.projector.grid.x_um, problem.projector.grid.y_um) - 20.0, empty=-1.0
    )
    assert np.count_nonzero(outside > 0.0) > 100
    assert scale[outside > 0.0].max() == pytest.approx(1.5 / 3.5)
