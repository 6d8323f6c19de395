"""Compiled patterns of a Rietveld refinement, against `inverse.model` and finite differences."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inverse.cell_parameters import cell_law
from inverse.model import Instrument, PhaseLines, draw_patterns, lattice_lines, phase_lines
from inverse.profile import SCHERRER_CONSTANT, add_lines, total_width_and_mixing
from inverse.recipe import Calibration, Profile
from inverse.rietveld import design
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_profile import draw_line, width_and_mixing
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.rietveld_shapes import (
    B_ISO,
    CELL,
    OCCUPANCY,
    PER_PHASE,
    SIZE,
    STRAIN,
    draw_phase,
    inverse_metric,
)
from xrdct.cell import cell_volume_A3, reciprocal_metric_per_A2
from xrdct.conversion import two_theta_rad
from xrdct.crystal import Site
from xrdct.crystal_source import find_crystal
from xrdct.errors import InputError
from xrdct.instrument import Beam, Geometry
from xrdct.reflections import powder_reflections

BEAM, GEOMETRY = Beam(), Geometry()
CALIBRATION = Calibration(
    profile=Profile(U_deg2=2e-3, V_deg2=-2e-4, W_deg2=5e-4, X_deg=0.01, Y_deg=2e-3),
    distance_m=0.7003,
)
INSTRUMENT = Instrument(BEAM, GEOMETRY, CALIBRATION)
CHANNEL_RAD = GEOMETRY.channel_width_rad
CUBIC = ("LiMn2O4", "LiMnO2-rocksalt", "Li0.5Mn2O4", "Al", "LaB6")
EVERY = (*CUBIC, "Li2MnO3", "LiMnO2-ortho", "graphite")
ALL_FREE = {"size": "voxel", "strain": "voxel", "b_iso": "voxel", "occupancy": "voxel"}
EDGE = 3e-5
"""Of a line's height: the compiled profile takes the mean over a channel of width h at up to one
channel more than the other, at Δ > 6 Γ. They differ there by h²/24 of the second derivative,
(h/2Δ)² of what is left of the line, 1/145: 8e-6 for h = Γ/2, of some lines that overlap there."""

TETRAGONAL = """data_t
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_cell_formula_units_Z 2
_space_group_name_H-M_alt 'P 42/m n m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_B_iso_or_equiv
Ti1 Ti 0 0 0 1 0.5
O1 O 0.305 0.305 0 1 0.7
"""
RHOMBOHEDRAL = """data_r
_cell_length_a 4.75
_cell_length_b 4.75
_cell_length_c 12.99
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_cell_formula_units_Z 6
_space_group_name_H-M_alt 'R -3 c :H'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_B_iso_or_equiv
Al1 Al 0 0 0.352 1 0.3
O1 O 0.306 0 0.25 1 0.4
"""
TRICLINIC = """data_p
_cell_length_a 5.1
_cell_length_b 5.9
_cell_length_c 6.7
_cell_angle_alpha 83
_cell_angle_beta 97
_cell_angle_gamma 101
_cell_formula_units_Z 2
_space_group_name_H-M_alt 'P -1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_B_iso_or_equiv
Mn1 Mn 0.11 0.23 0.37 1 0.5
O1 O 0.71 0.42 0.13 1 0.9
"""
CIFS = {
    "tetragonal": TETRAGONAL.format(a=4.6, c=2.96),
    "metrically cubic": TETRAGONAL.format(a=4.6, c=4.6),
    "trigonal": RHOMBOHEDRAL,
    "triclinic": TRICLINIC,
}
"""Cells of the systems that no built-in crystal has; c = a makes lines coincide by chance."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What a recipe would call a crystal, by its name here."""
    folder = tmp_path_factory.mktemp("crystals")

    def found(name):
        if name not in CIFS:
            return name
        file = folder / f"{name.replace(' ', '-')}.cif"
        file.write_text(CIFS[name])
        return str(file)

    return found


def model_of(*phases, **more):
    more.setdefault("n_background", 0)
    settings = Rietveld(phases=phases, **more)
    return rietveld_model(settings, beam=BEAM, geometry=GEOMETRY, calibration=CALIBRATION)


@lru_cache
def free_model(crystal, site, size_shape="lorentzian", strain_shape="gaussian", **more):
    phase = RietveldPhase(
        crystal=crystal, occupancy_site=site, size_shape=size_shape, strain_shape=strain_shape,
        crystallite_size_nm=120.0, strain_value=6e-4, **ALL_FREE, **more,
    )  # fmt: skip
    return model_of(phase, zero="voxel", distance="voxel")


def drawn(crystal, *, instrument=INSTRUMENT, size_nm=200.0, strain=0.0, b_iso=0.0):
    """The pattern by the uncompiled route."""
    lines = phase_lines([crystal], beam=BEAM, geometry=GEOMETRY)
    return draw_patterns(
        lines, instrument=instrument, crystallite_size_nm=size_nm, strain=strain,
        b_iso_change_A2=b_iso,
    )[0]  # fmt: skip


def with_slots(model, **changes):
    """The pattern of the first phase with some slots changed by so much."""
    slots = model.slots.copy()
    for slot, change in changes.items():
        slots[int(slot[1:])] += change
    return model.patterns(slots)[0]


def same(one, other, *, rel):
    __tracebackhide__ = True
    np.testing.assert_allclose(one, other, rtol=0.0, atol=rel * np.abs(other).max())


@pytest.mark.parametrize("name", [*EVERY, *CIFS])
def test_pattern_at_the_start_is_that_of_the_model(name, source):
    # The same lines by another route: windows and polynomials of the compiled profile are all that
    # differs, and the hair (1e-5) by which lines of one spacing are set apart from each other in
    # the list, which acts by ε³ on powers.
    model = model_of(RietveldPhase(crystal=source(name)))
    same(model.patterns(model.slots)[0], drawn(find_crystal(source(name))), rel=EDGE)


@pytest.mark.parametrize("name", CUBIC)
@pytest.mark.parametrize("factor", [0.991, 0.997, 1.004, 1.01])
def test_pattern_of_a_scaled_cubic_cell(name, factor):
    # ln(q·v²) is a parabola through three cells; the cubic term left out, c3 (ε² − 0.01²) ε, is
    # 4e-7·c3 at most, and c3 some tens where |F|² is small for two atoms that nearly cancel.
    model = model_of(RietveldPhase(crystal=name))
    a_A = model.slots[0]
    pattern = with_slots(model, s0=a_A * (factor - 1.0))
    lines = lattice_lines(
        find_crystal(name), np.array([a_A * factor]), beam=BEAM, geometry=GEOMETRY
    )
    expected = draw_patterns(
        lines, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=0.0
    )[0]  # fmt: skip
    same(pattern, expected, rel=2.0 * EDGE)


@pytest.mark.parametrize(
    "name", ["Li2MnO3", "LiMnO2-ortho", "graphite", *CIFS]
)  # fmt: skip
def test_pattern_of_a_deformed_cell(name, source):
    # As above: with fractional coordinates kept, q·v² of a line depends on its spacing alone, so
    # that the law holds for any deformation. Lines of one spacing in the start cell part.
    model = model_of(RietveldPhase(crystal=source(name)))
    crystal = find_crystal(source(name))
    law = cell_law(crystal)
    free = law.free(crystal.cell_A_deg)
    moved = free * (1.0 + 0.006 * np.cos(2.0 + 3.0 * np.arange(free.size)))
    deformed = replace(crystal, cell_A_deg=law.cell(moved))
    changes = {f"s{CELL + i}": change for i, change in enumerate(moved - free)}
    same(with_slots(model, **changes), drawn(deformed), rel=2.0 * EDGE)


@pytest.mark.parametrize("name", [*EVERY, *CIFS])
def test_lines_lie_where_reflections_of_the_changed_crystal_are(name, source):
    # Truth: spacings of `xrdct.reflections` for the deformed crystal, to rounding.
    model = model_of(RietveldPhase(crystal=source(name)))
    crystal = find_crystal(source(name))
    law = cell_law(crystal)
    cell = law.cell(law.free(crystal.cell_A_deg) * (1.0 + 0.004 * np.arange(1, len(law.names) + 1)))
    metric = np.empty(6)
    volume = inverse_metric(np.array(cell), metric)
    assert volume == pytest.approx(cell_volume_A3(cell), rel=1e-12)
    d_A = 1.0 / np.sqrt(model.tables.hkl_products @ metric)
    strong = np.exp(model.tables.log_power[:, 0]) > 1e-12
    found = powder_reflections(
        replace(crystal, cell_A_deg=cell), energy_keV=BEAM.energy_keV, d_min_A=0.95 * d_A.min()
    ).d_A
    gaps = np.abs(d_A[strong, None] / found - 1.0).min(axis=1)
    assert gaps.max() < 1e-6  # reflections within 1e-6 of each other are one line there
    assert np.median(gaps) < 1e-12


def test_inverse_metric_is_that_of_crystallography():
    cell = (5.1, 5.9, 6.7, 83.0, 97.0, 101.0)
    metric = np.empty(6)
    inverse_metric(np.array(cell), metric)
    expected = reciprocal_metric_per_A2(cell)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(metric, expected, rtol=1e-13)
    assert inverse_metric(np.array([5.0, 5.0, 5.0, 60.0, 60.0, 150.0]), metric) == 0.0


def shifted(crystal, *, zero_rad=0.0, distance_m=CALIBRATION.distance_m):
    """Lines drawn at positions moved by hand."""
    lines = phase_lines([crystal], beam=BEAM, geometry=GEOMETRY)
    here = CALIBRATION.profile
    tangent, cosine = np.tan(0.5 * lines.angle_rad), np.cos(0.5 * lines.angle_rad)
    squared_deg2 = here.U_deg2 * tangent**2 + here.V_deg2 * tangent + here.W_deg2
    size_rad = SCHERRER_CONSTANT * BEAM.wavelength_A / 2000.0 / cosine
    fwhm, mixing = total_width_and_mixing(
        np.deg2rad(np.sqrt(squared_deg2)),
        np.deg2rad(here.X_deg * tangent + here.Y_deg / cosine) + size_rad,
    )
    position = np.arctan(np.tan(lines.angle_rad) * distance_m / GEOMETRY.distance_m) + zero_rad
    pattern = np.zeros((1, GEOMETRY.n_channels))
    add_lines(
        pattern, lines.row, float(GEOMETRY.two_theta_rad[0]), CHANNEL_RAD, position,
        lines.power_per_um, fwhm, mixing,
    )  # fmt: skip
    return pattern[0]


@given(zero_deg=st.floats(-0.1, 0.1), change=st.floats(-0.005, 0.005))
def test_zero_and_distance_move_lines(zero_deg, change):
    # Truth: the geometry of a flat detector, and a shift of the scale; widths stay where they are.
    model = model_of(RietveldPhase(crystal="LiMn2O4"), zero="voxel", distance="voxel")
    zero, stretch = PER_PHASE, PER_PHASE + 1
    pattern = with_slots(model, **{f"s{zero}": np.deg2rad(zero_deg), f"s{stretch}": change})
    expected = shifted(
        find_crystal("LiMn2O4"), zero_rad=np.deg2rad(zero_deg),
        distance_m=CALIBRATION.distance_m + change * GEOMETRY.distance_m,
    )  # fmt: skip
    same(pattern, expected, rel=EDGE)


@given(size_nm=st.floats(5.0, 2000.0), strain=st.floats(0.0, 5e-3))
def test_size_and_strain_broaden_as_in_the_model(size_nm, strain):
    model = model_of(
        RietveldPhase(crystal="LiMn2O4", crystallite_size_nm=size_nm, strain_value=strain)
    )
    expected = drawn(find_crystal("LiMn2O4"), size_nm=size_nm, strain=strain)
    same(model.patterns(model.slots)[0], expected, rel=EDGE)


def test_lorentzian_strain_and_gaussian_size():
    # Truth: strain acts on X, (4 e0) in degrees; size broadening as a Gaussian of constant width is
    # W up to 1/cos²θ, which is 1.6 % at most and then 0.2 % of this Γ: of the height of the last,
    # weakest lines.
    strain, size_nm = 8e-4, 150.0
    model = model_of(
        RietveldPhase(
            crystal="LiMn2O4", strain_shape="lorentzian", strain_value=strain,
            size_shape="gaussian", crystallite_size_nm=size_nm,
        )
    )  # fmt: skip
    size_deg = np.rad2deg(SCHERRER_CONSTANT * BEAM.wavelength_A / (10.0 * size_nm))
    own = CALIBRATION.profile
    profile = own.model_copy(
        update={
            "X_deg": own.X_deg + np.rad2deg(4.0 * strain),
            "W_deg2": own.W_deg2 + size_deg**2,
        }
    )
    instrument = replace(
        INSTRUMENT, calibration=CALIBRATION.model_copy(update={"profile": profile})
    )
    expected = drawn(find_crystal("LiMn2O4"), instrument=instrument, size_nm=np.inf)
    same(model.patterns(model.slots)[0], expected, rel=2e-3)


@pytest.mark.parametrize("change", [-0.3, 0.4, 1.5])
def test_displacements_damp_lines(change):
    # Truth: another crystal, each of whose sites moves so much more.
    crystal = find_crystal("LiMn2O4")
    if change > 0.0:
        moved = crystal.with_sites(
            replace(site, b_iso_A2=site.b_iso_A2 + change) for site in crystal.sites
        )
        expected = drawn(moved)
    else:
        expected = drawn(crystal, b_iso=change)
    model = model_of(RietveldPhase(crystal="LiMn2O4", b_iso_change_A2=change))
    same(model.patterns(model.slots)[0], expected, rel=EDGE)


@pytest.mark.parametrize(
    ("crystal", "label", "factor"),
    [
        ("LiMn2O4", "Mn1", 0.6), ("LiMn2O4", "O1", 0.9), ("LiMn2O4", "Li1", 0.0),
        ("Li2MnO3", "Mn1", 0.75), ("Li0.5Mn2O4", "Mn2", 0.97), ("LiMnO2-rocksalt", "O1", 0.5),
    ],
)  # fmt: skip
def test_occupancy_changes_powers_as_another_crystal_has_them(crystal, label, factor):
    # Truth: structure factors of a crystal with that occupancy; powers are parabolas of it exactly.
    def changed(site: Site) -> Site:
        if site.label != label:
            return site
        return replace(site, occupancies=tuple((e, factor * o) for e, o in site.occupancies))

    found = find_crystal(crystal)
    expected = drawn(found.with_sites([changed(site) for site in found.sites]))
    model = model_of(RietveldPhase(crystal=crystal, occupancy_site=label, occupancy="voxel"))
    same(with_slots(model, **{f"s{OCCUPANCY}": factor - 1.0}), expected, rel=EDGE)


def slopes_of(model, slots):
    """Compiled slopes of the first phase by slot, (active, channel), and their slots."""
    active = model.setup().active
    shape, buffer = np.zeros(GEOMETRY.n_channels), np.empty((4, GEOMETRY.n_channels))
    slopes = np.full((active.kind.size, GEOMETRY.n_channels), np.nan)
    assert draw_phase(
        0, slots, model.tables, active, int(model.n_cell[0]), shape, slopes, buffer
    )  # fmt: skip
    np.testing.assert_array_equal(shape, model.patterns(slots)[0])
    return slopes, active.kind


STEPS = {
    SIZE: 3e-4,
    STRAIN: 3e-4,
    B_ISO: 1e-3,
    OCCUPANCY: 1e-3,
    PER_PHASE: 3e-6,
    PER_PHASE + 1: 2e-5,
}
"""Steps of central differences: slots within, shift and distance after; a cell's are 2e-5 of it."""
FAR = 2e-3
"""What slopes leave out, of a slope's largest value: beyond Δ = 6 Γ a line of Lorentzian part η
moves by η Γ/(πΔ³) per radian, 1.5e-3 η of 0.65 · 2/Γ² there; some lines overlap. What the power of
a line changes with the cell there is smaller yet. Of slopes by widths, (Γ/Δ)²/2 = 1.4 % of 1/145
is."""


@pytest.mark.parametrize(
    ("name", "site"),
    [("LiMn2O4", "Mn1"), ("Li2MnO3", "O2"), ("graphite", "C1"), ("LiMnO2-ortho", "Mn1")],
)
@pytest.mark.parametrize("shapes", ["lorentzian gaussian", "gaussian lorentzian"])
def test_slopes_are_finite_differences(name, site, shapes):
    # Truth: central differences of the pattern, good to (step/width)²/6 < 1e-5; where the window of
    # a line takes in a channel between the two sides they show a jump, so two steps are tried. The
    # slopes hold the width Γ while the cell moves: it changes by less than Γ/2 per relative change,
    # against 2 tanθ > 0.05 of position, 3e-3 of the slope for Γ = 0.03°.
    size_shape, strain_shape = shapes.split()
    model = free_model(name, site, size_shape=size_shape, strain_shape=strain_shape)
    slopes, kinds = slopes_of(model, model.slots)
    for slope, kind in zip(slopes, kinds, strict=True):
        slot = int(kind)
        step = STEPS.get(slot, 2e-5 * model.slots[slot] if slot < SIZE else None)
        errors = []
        for width in (step, 0.37 * step):
            sides = [with_slots(model, **{f"s{slot}": sign * width}) for sign in (-1.0, 1.0)]
            expected = (sides[1] - sides[0]) / (2.0 * width)
            errors.append(np.abs(slope - expected) / np.abs(expected).max())
        error = np.minimum(*errors).max()
        limit = FAR if slot < SIZE or slot >= PER_PHASE else 5e-4
        if slot < SIZE:
            limit += 2e-3
        assert error < limit, (slot, error)


def test_design_is_what_values_change():
    # Truth: differences of patterns, in the units of results; single channels jump (see above).
    model = model_of(
        RietveldPhase(crystal="LiMn2O4", size="voxel", strain="voxel", strain_value=5e-4),
        RietveldPhase(crystal="Li2MnO3", b_iso="voxel"), zero="voxel", n_background=3,
    )  # fmt: skip
    values = np.array([0.7, 0.2, *(float(p.result(np.array(p.start))) for p in model.parameters)])
    values = np.append(values, [1e-3, 2e-4, -1e-4])
    rows = design(model, values)
    assert rows.shape == (len(model.names), GEOMETRY.n_channels)
    steps = {"a_A": 1e-5, "b_A": 1e-5, "c_A": 1e-5, "beta_deg": 1e-4, "size_nm": 0.1,
             "strain": 1e-6, "b_iso_change_A2": 1e-3, "zero_deg": 1e-5, "scale": 1e-3}  # fmt: skip

    def pattern(at):
        slots = model.slots.copy()
        for parameter, value in zip(model.parameters, at[2:-3], strict=True):
            slots[list(parameter.slots)] = parameter.number(np.array(value))
        return at[:2] @ model.patterns(slots) + at[-3:] @ model.background

    for place, name in enumerate(model.names):
        step = np.zeros(len(values))
        step[place] = steps.get(name.split(".")[-1], 1e-3)
        expected = (pattern(values + step) - pattern(values - step)) / (2.0 * step[place])
        error = np.linalg.norm(rows[place] - expected) / np.linalg.norm(expected)
        assert error < 1e-3, (name, error)


@given(gauss=st.floats(1e-5, 1e-2), lorentz=st.floats(0.0, 1e-2))
def test_width_and_mixing_with_slopes(gauss, lorentz):
    out = np.empty(6)
    width_and_mixing(gauss, lorentz, out)
    fwhm, mixing = total_width_and_mixing(np.array([gauss]), np.array([lorentz]))
    np.testing.assert_allclose(out[:2], [fwhm[0], mixing[0]], rtol=1e-12, atol=1e-14)
    step = 1e-5 * max(gauss, lorentz)
    squares = gauss**2 + np.array([-1.0, 1.0]) * 1e-5 * gauss**2
    by_gauss = np.array(total_width_and_mixing(np.sqrt(squares), np.full(2, lorentz)))
    slope = np.diff(by_gauss, axis=1)[:, 0] / np.diff(squares)[0]
    np.testing.assert_allclose(out[2:4], slope, rtol=1e-5, atol=1e-6 / max(gauss, lorentz) ** 2)
    sides = np.maximum(lorentz + np.array([-step, step]), 0.0)
    by_lorentz = np.array(total_width_and_mixing(np.full(2, gauss), sides))
    slope = np.diff(by_lorentz, axis=1)[:, 0] / np.diff(sides)[0]
    np.testing.assert_allclose(out[4:6], slope, rtol=1e-3, atol=1e-4 / max(gauss, lorentz))


@given(
    middle=st.floats(-400.0, 1400.0), fwhm=st.floats(1e-5, 2e-2), mixing=st.floats(0.0, 1.0)
)  # fmt: skip
def test_one_line_wherever_it_lies(middle, fwhm, mixing):
    # Truth: `add_lines`, for lines outside the pattern and of any width; no channel is touched that
    # is not the line's.
    shape, buffer = np.zeros(GEOMETRY.n_channels), np.empty((4, GEOMETRY.n_channels))
    at = draw_line(shape, 2.0, middle, CHANNEL_RAD, fwhm, mixing, buffer)
    assert 0 <= at[0] <= at[1] <= at[2] <= at[3] <= shape.size
    expected = np.zeros((1, shape.size))
    add_lines(
        expected, np.zeros(1, np.int64), 0.0, CHANNEL_RAD, np.array([middle * CHANNEL_RAD]),
        np.array([2.0]), np.array([fwhm]), np.array([mixing]),
    )  # fmt: skip
    # a channel that is beyond the reach on one side by rounding, or has the mean on one side only
    height = 2.0 / fwhm
    np.testing.assert_allclose(shape, expected[0], rtol=1e-9, atol=2e-4 * height)
    assert np.abs(shape - expected[0]).sum() <= 1e-3 * height


def test_a_width_that_cannot_be_is_refused():
    calibration = Calibration(profile=Profile(V_deg2=-0.02, W_deg2=6e-4), distance_m=0.7)
    with pytest.raises(InputError, match="Gaussian width"):
        rietveld_model(
            Rietveld(phases=(RietveldPhase(crystal="LiMn2O4"),)), beam=BEAM, geometry=GEOMETRY,
            calibration=calibration,
        )  # fmt: skip


def test_an_impossible_cell_is_refused():
    model = model_of(RietveldPhase(crystal="Li2MnO3"))
    slots = model.slots.copy()
    slots[3] = 0.0
    with pytest.raises(InputError, match="encloses no volume"):
        model.patterns(slots)


def test_two_phases_are_drawn_as_one_each():
    # Law: phases do not see each other, whatever their order.
    one, other = RietveldPhase(crystal="LiMn2O4"), RietveldPhase(crystal="Li2MnO3")
    for pair in ((one, other), (other, one)):
        model = model_of(*pair)
        for row, phase in enumerate(pair):
            alone = model_of(phase)
            np.testing.assert_array_equal(
                model.patterns(model.slots)[row], alone.patterns(alone.slots)[0]
            )


def test_lines_beyond_the_pattern_reach_into_it():
    # Truth: lines up to 1.5° beyond the last channel are drawn, none further.
    model = model_of(RietveldPhase(crystal="LiMn2O4"))
    lines = phase_lines([find_crystal("LiMn2O4")], beam=BEAM, geometry=GEOMETRY)
    inside = lines.angle_rad < GEOMETRY.two_theta_rad[-1]
    cut = PhaseLines(
        1, lines.row[inside], lines.angle_rad[inside], lines.power_per_um[inside],
        lines.s_squared_per_A2[inside],
    )  # fmt: skip
    short = draw_patterns(cut, instrument=INSTRUMENT, crystallite_size_nm=200.0, strain=0.0)[0]
    more = model.patterns(model.slots)[0] - short
    reach = two_theta_rad(1.0, wavelength_A=BEAM.wavelength_A)
    assert reach > 0.0
    assert more[-1] > 0.0
    assert np.abs(more[: -int(np.deg2rad(1.5) / CHANNEL_RAD) - 2]).max() < EDGE * short.max()
