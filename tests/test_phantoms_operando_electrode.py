"""The operando electrode: charge counting, its known particles, the same spheres at every scan."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from phantoms.cell_materials import substance
from phantoms.charge_sharing import progress_law, shared_filling
from phantoms.discharge import SCAN_NUMBERS, Discharge
from phantoms.library import OperandoElectrode, build
from phantoms.operando_electrode import micro_cell, volume_planes
from phantoms.particle import RadialTable, law_values
from phantoms.particle_states import PARTICLE_1, PARTICLE_2
from phantoms.stoichiometry import FILLED_NODES
from xrdct.errors import InputError
from xrdct.scan import SCAN_PRESETS

SEED = 3
SMALL = {"diameter_um": 200.0, "margin_um": 3.0, "reach_um": None}
SLOW = {"inside": "diffusion", "diffusivity_um2_per_s": 0.005, "pause_share": 0.0}
GAUSS = np.polynomial.legendre.leggauss(4)
"""Exact to degree 7: spinel share and lithium are linear in r each, and r² more makes 4."""


def electrode(**more):
    return build(OperandoElectrode(**(SMALL | more)), seed=SEED)


def lithium(particle) -> tuple[float, float]:
    """Room for lithium in the spinel, and how much is in it, by quadrature of the particle."""
    bends = [0.0, 1.0]
    bends += [1.0 - d / particle.radius_um for s in particle.shells for d in s.borders_um]
    bends += particle.x.r_over_R if isinstance(particle.x, RadialTable) else []
    edges = np.unique([b for b in bends if 0.0 <= b <= 1.0])
    half = 0.5 * np.diff(edges)[:, None]
    rho = (edges[:-1, None] + half + half * GAUSS[0]).ravel()
    depth_um = (1.0 - rho) * particle.radius_um
    other = sum((s.weight_fraction_at(depth_um) for s in particle.shells), np.zeros(rho.size))
    measure = (half * GAUSS[1]).ravel() * 4.0 * np.pi * particle.radius_um**3 * rho**2
    spinel = measure * (1.0 - particle.porosity) * (1.0 - other)
    empty = 3.0 * law_values(particle.y, rho)
    room, inside = spinel @ (1.0 - empty), spinel @ (law_values(particle.x, rho) - empty)
    return float(room), float(inside)


def filled(sample) -> np.ndarray:
    return np.array([inside / room for room, inside in map(lithium, sample.particles)])


@pytest.mark.parametrize("options", [{}, {"filled_gradient": 0.08, "gradient_spread": 0.05}, SLOW])
@pytest.mark.parametrize("scan", SCAN_NUMBERS)
def test_mean_filled_fraction_is_the_one_counted(scan, options):
    # Definition, of what is counted by default: the mean of all spheres drawn, the known two among
    # them, weighted with capacity. Rounding of sums of some hundred numbers.
    amounts = np.array([lithium(p) for p in electrode(scan=scan, **options).particles])
    counted = Discharge().scan_x(scan)
    assert amounts[:, 1].sum() / amounts[:, 0].sum() == pytest.approx(counted, abs=1e-12)


@pytest.mark.parametrize("scan", SCAN_NUMBERS)
def test_known_particles_come_first_in_their_state(scan):
    # Truth: the options, and the table of states.
    more = {"particle_1_um": (-20.0, 31.0), "particle_2_z_um": 2.5, "particle_2_diameter_um": 12.0}
    sample = electrode(scan=scan, **more)
    first, second = sample.particles[:2]
    assert (first.centre_um, first.diameter_um) == ((-20.0, 31.0, 0.0), 18.0)
    assert (second.centre_um, second.diameter_um) == ((60.0, -40.0, 2.5), 12.0)
    state, other = PARTICLE_1[scan - 1], PARTICLE_2[scan - 1]
    assert lithium(first)[1] / lithium(first)[0] == pytest.approx(state.filled, abs=1e-13)
    assert (second.x, second.strain) == (other.filled, other.strain)
    kept = {s.phase: s.weight_fraction for s in second.shells}
    assert kept.get("LiMnO2-rocksalt", 0.0) == other.rock_salt
    assert kept.get("Li0.5Mn2O4", 0.0) == other.intermediate


def test_all_scans_show_the_same_spheres():
    first = electrode(scan=1)
    for scan in SCAN_NUMBERS[1:]:
        later = electrode(scan=scan)
        np.testing.assert_array_equal(first.centres_um, later.centres_um)
        np.testing.assert_array_equal(first.radii_um, later.radii_um)
        assert [p.y for p in first.particles] == [p.y for p in later.particles]


def test_particles_keep_their_rank():
    # Law: from a common start the order of filling is that of the speeds, at every scan. The bulk
    # and the Li-rich are ranked each among themselves, by scan 3, in which none is full.
    samples = [electrode(scan=scan, start_spread=0.0) for scan in SCAN_NUMBERS]
    rich = np.array([p.y != 0.0 for p in samples[0].particles])
    rich[:2] = False
    bulk = np.array([p.y == 0.0 for p in samples[0].particles])
    bulk[:2] = False
    for kind in (rich, bulk):
        middle = filled(samples[2])[kind]
        assert middle.max() < 1.0 - 1e-9
        assert np.ptp(middle) > 0.05
        order = np.argsort(middle)
        for sample in samples[1:]:
            assert (np.diff(filled(sample)[kind][order]) > -1e-9).all()


def test_every_plane_is_one_of_the_same_spheres():
    # Truth: the whole packing. A plane keeps what reaches within 2 µm of it, and the known two.
    whole = electrode(margin_um=7.0, scan=3)
    scan = SCAN_PRESETS["volume"].model_copy(update={"n_planes": 4, "plane_step_um": 3.0})
    spec = OperandoElectrode(**(SMALL | {"margin_um": 7.0, "reach_um": 2.0, "scan": 3}))
    planes = volume_planes(spec, scan=scan)
    assert [p.z_um for p in planes] == [-4.5, -1.5, 1.5, 4.5]
    for plane in planes:
        sample = build(plane, seed=SEED)
        apart = np.abs(whole.centres_um[:, 2] - plane.z_um) - whole.radii_um
        near = np.flatnonzero((apart < 2.0) | (np.arange(apart.size) < 2))
        assert sample.particles == tuple(whole.particles[i] for i in near)
        assert sample.z_um == plane.z_um
        assert near.size < len(whole.particles)


def test_volume_has_the_planes_of_the_study():
    # Published: 20 planes, 2 µm apart.
    heights = [p.z_um for p in volume_planes(OperandoElectrode())]
    np.testing.assert_allclose(heights, np.arange(-19.0, 20.0, 2.0))


def test_bulk_particles_do_not_rest_in_a_window():
    # At 0.36 of the charge, in the middle of window I, bulk particles have jumped or not; spread
    # evenly over 0.02 of progress or more, less than 1e-3/0.02 of them are on the way. With
    # windows as long as they are, nearly all are inside (start 0.17 ± 0.01, mean 0.36).
    share = {}
    for progress in (1e-3, 1.0):
        sample = electrode(scan=2, window_progress=progress)
        f = filled(sample)[[p.y == 0.0 for p in sample.particles]]
        share[progress] = ((f > FILLED_NODES[1] + 1e-6) & (f < FILLED_NODES[2] - 1e-6)).mean()
    assert share[1e-3] < 0.1
    assert share[1.0] > 0.8


def test_equal_particles_share_equally():
    # Closed form: equal starts and speeds, so all are filled alike, whatever their size.
    capacity = np.array([1.0, 5.0, 0.3])
    for wanted in (0.0, 0.19, 0.3, 0.7, 1.0):
        found = shared_filling(
            progress_law(1e-3), start=np.full(3, 0.15), speed=np.ones(3), capacity=capacity,
            amount=wanted * capacity.sum(),
        )  # fmt: skip
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_without_windows_particles_fill_by_their_speed():
    # Closed form: f = f_0 + v τ as long as nothing is full; Σ c f = amount gives τ.
    start, speed = np.array([0.1, 0.2, 0.15]), np.array([1.0, 0.5, 2.0])
    capacity = np.array([1.0, 2.0, 0.5])
    clock = (0.4 * capacity.sum() - capacity @ start) / (capacity @ speed)
    found = shared_filling(
        progress_law(1.0), start=start, speed=speed, capacity=capacity, amount=0.4 * capacity.sum()
    )
    np.testing.assert_allclose(found, start + clock * speed, atol=1e-12)


def test_diffusion_leaves_the_surface_ahead_and_fast_diffusion_nothing():
    # Limits: while lithium enters, x rises towards the surface (scan 3 begins as the current
    # stops); after a pause of D t/R² > 6 in all particles (exp(−20.19 · 6) = 2e-53) it is uniform.
    slow, fast = electrode(scan=3, **SLOW), electrode(
        scan=3, inside="diffusion", diffusivity_um2_per_s=1.0, pause_share=0.5
    )  # fmt: skip
    tables = [p.x for p in slow.particles if isinstance(p.x, RadialTable)]
    assert len(tables) > 0.8 * len(slow.particles)
    assert all((np.diff(t.value) >= 0.0).all() for t in tables)
    assert max(np.ptp(t.value) for t in tables) > 0.1
    assert all(isinstance(p.x, float) for p in fast.particles if p.y == 0.0)


def test_coating_is_as_full_as_its_areal_density_says():
    # Closed form: 166 g/m² in 80 µm at 4.285 g/cm³, with 5 % pores in the particles; carbon and
    # binder, 5.8/94.2 of that weight, in what the particles leave.
    spec = OperandoElectrode()
    solid = 166.0 / 80.0 / 4.285
    assert spec.volume_fraction == pytest.approx(solid / 0.95, rel=2e-4)
    cell = micro_cell(spec.model_copy(update={"z_um": -3.0}), tilt_mrad=3.0)
    density = 0.5 * (substance("carbon").density_g_per_cm3 + substance("PVDF").density_g_per_cm3)
    additives = 166.0 / 80.0 * 0.058 / 0.942 / density
    assert cell.additive_fraction == pytest.approx(additives / (1.0 - solid / 0.95), rel=1e-3)
    assert (cell.slice_height_um, cell.tilt_mrad, micro_cell(spec).tilt_mrad) == (37.0, 3.0, 0.0)
    assert (cell.electrode_um, cell.electrode_thickness_um) == (1000.0, 80.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"z_um": 20.0}, r"z_um \(20\) with reach_um must lie within margin_um \(21\)"),
        ({"particle_1_um": (480.0, 150.0)}, r"particle_1_um \(480, 150\) puts the particle out to"),
        ({"particle_2_um": (-55.0, 50.0)}, "particle_2_um are 5 µm apart: .* 18 and 16 µm overlap"),
        ({"coating_um": 40.0}, r"areal_g_per_m2 \(166\) does not fit into coating_um \(40\)"),
        ({"smallest_particle_um": 30.0}, "must increase, got 30, 20 and 1000"),
    ],
)
def test_impossible_options_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        OperandoElectrode(**options)


def test_too_many_slow_particles_cannot_carry_the_current():
    with pytest.raises(InputError, match="the bulk of the electrode would have to be filled to"):
        electrode(scan=4, li_rich_share=0.98)
    with pytest.raises(InputError, match="no particle of the bulk is left"):
        electrode(scan=4, li_rich_share=1.0)
