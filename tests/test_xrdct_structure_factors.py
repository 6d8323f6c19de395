"""Structure factors against an independent crystallography code, closed forms and laws."""

import Dans_Diffraction
import numpy as np
import pytest
import xraylib
from Dans_Diffraction import functions_crystallography as dans_functions
from hypothesis import given, settings
from hypothesis import strategies as st

from xrdct.cell import reciprocal_metric_per_A2
from xrdct.conversion import wavelength_A
from xrdct.crystal import Crystal, Site, crystal_names, load_crystal
from xrdct.formfactor import atomic_form_factor
from xrdct.reflections import powder_reflections, structure_factors_e

ENERGY_KEV = 50.0


def all_indices(crystal, *, d_min_A):
    """Return every hkl with d ≥ d_min, one by one, without any symmetry."""
    reach = int(max(crystal.cell_A_deg[:3]) / d_min_A)
    axis = np.arange(-reach, reach + 1)
    hkl = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    metric = reciprocal_metric_per_A2(crystal.cell_A_deg)
    inverse_d2 = np.einsum("ri,ij,rj->r", hkl, metric, hkl)
    return hkl[(inverse_d2 > 0) & (inverse_d2 <= d_min_A**-2)]


@pytest.fixture
def dans_with_our_form_factors(monkeypatch, request):
    """Dans_Diffraction reading a built-in crystal, with f0 + f′ and f″ from our tables.

    Its conventions are those of Als-Nielsen & McMorrow: exp(iQ·r) with Q = k − k′, and f′ − i f″.
    Those of the International Tables, kept here, are exp(iq·r) with q = k′ − k and f′ + i f″. So
    its reflection −h is our h; with f″ = 0, or an inversion centre, the two would not differ.
    """

    def factors(elements, q_per_A, energy_keV, use_waaskirf=False):
        s = q_per_A / (4 * np.pi)
        ours = {
            str(element): atomic_form_factor(str(element), s_per_A=s, energy_keV=energy_keV)
            for element in set(elements)
        }
        return np.conj(np.stack([ours[str(element)] for element in elements], axis=1))[:, :, None]

    monkeypatch.setattr(dans_functions, "xray_scattering_factor_resonant", factors)

    def load(name):
        return Dans_Diffraction.Crystal(str(request.config.rootpath / f"xrdct/crystals/{name}.cif"))

    return load


@pytest.mark.parametrize("name", crystal_names())
def test_structure_factors_and_spacings_are_those_of_dans_diffraction(
    name, dans_with_our_form_factors
):
    # Independent symmetry expansion, cell geometry, Debye-Waller factor and summation. 1e-3 and
    # 1e-6 are asked for; both sides only round, but it keeps positions to 1e-10 of the file.
    crystal = load_crystal(name)
    theirs = dans_with_our_form_factors(name)
    found = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=1.1)
    np.testing.assert_allclose(theirs.Cell.dspace(found.hkl), found.d_A, rtol=1e-9)

    hkl = all_indices(crystal, d_min_A=1.1)
    intensity = theirs.Scatter.intensity(-hkl, "xray dispersion", energy_kev=ENERGY_KEV)
    d = theirs.Cell.dspace(hkl)
    ours = structure_factors_e(crystal, hkl=hkl, energy_keV=ENERGY_KEV)
    np.testing.assert_allclose(np.abs(ours) ** 2, intensity, rtol=1e-6, atol=1e-6)
    # Whatever lies on a line, counted one by one, adds up to the line; nothing lies elsewhere.
    for spacing, multiplicity, f_squared in zip(
        found.d_A, found.multiplicity, found.f_squared_e2, strict=True
    ):
        on_line = np.abs(d / spacing - 1.0) < 1e-6
        assert intensity[on_line].sum() == pytest.approx(multiplicity * f_squared, rel=1e-6)
        assert np.count_nonzero(intensity[on_line] > 1e-9 * f_squared) == multiplicity
    total = np.sum(found.multiplicity * found.f_squared_e2)
    assert intensity.sum() == pytest.approx(total, rel=1e-9)


def test_friedel_pairs_of_a_crystal_without_inversion_differ_as_in_dans_diffraction(
    dans_with_our_form_factors,
):
    # P2₁3 at 7 keV, above the Mn K edge, where f″ is 3.7 e: a wrong sign of f″ swaps h and −h.
    crystal = load_crystal("Li0.5Mn2O4")
    hkl = np.array([[2, 1, 0], [1, 2, 0], [3, 2, 1], [3, 1, 2], [2, 2, 1], [1, 1, 1]])
    hkl = np.concatenate([hkl, -hkl])
    ours = np.abs(structure_factors_e(crystal, hkl=hkl, energy_keV=7.0)) ** 2
    theirs = dans_with_our_form_factors("Li0.5Mn2O4").Scatter.intensity(
        -hkl, "xray dispersion", energy_kev=7.0
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.max(np.abs(ours[:6] / ours[6:] - 1.0)) > 0.01


@pytest.mark.parametrize("energy_keV", [9.0, 50.0])
def test_friedel_pair_of_zinc_blende_in_closed_form(energy_keV):
    # Ga at 0, As at 1/4: h·x = 3/4, so F(111) = 4(f_Ga − i f_As).
    sites = (
        Site("Ga1", (("Ga", 1.0),), (0.0, 0.0, 0.0), 0.0, 4),
        Site("As1", (("As", 1.0),), (0.25, 0.25, 0.25), 0.0, 4),
    )
    crystal = Crystal("GaAs", (5.6533,) * 3 + (90.0,) * 3, "F -4 3 m", sites, 4)
    s = np.array([np.sqrt(3) / (2 * 5.6533)])
    gallium, arsenic = (
        atomic_form_factor(element, s_per_A=s, energy_keV=energy_keV)[0] for element in ("Ga", "As")
    )
    hkl = np.array([[1, 1, 1], [-1, -1, -1]])
    found = structure_factors_e(crystal, hkl=hkl, energy_keV=energy_keV)
    expected = [4 * (gallium - 1j * arsenic), 4 * (gallium + 1j * arsenic)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("element", ["Al", "Mn", "La"])
@pytest.mark.parametrize("energy_keV", [20.0, 50.0])
def test_absorption_makes_the_imaginary_part_positive(element, energy_keV):
    # Optical theorem: σ_photo = 2 r_e λ f″. Two tables of xraylib, interpolated each on its own;
    # away from edges they agree within 1 %.
    number = xraylib.SymbolToAtomicNumber(element)
    sigma_A2 = xraylib.CSb_Photo(number, energy_keV) * 1e-8
    expected = sigma_A2 / (2 * 2.8179403262e-5 * wavelength_A(energy_keV))
    f = atomic_form_factor(element, s_per_A=np.zeros(1), energy_keV=energy_keV)
    assert f[0].imag == pytest.approx(expected, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(factor=st.floats(0.95, 1.05), name=st.sampled_from(["LiMn2O4", "Li2MnO3", "LiMnO2-ortho"]))
def test_isotropic_scaling_moves_every_line_alike(factor, name):
    # Law: the same lines at d·factor, and in sum the |F|² of all reflections, one by one.
    crystal = load_crystal(name)
    before = powder_reflections(crystal, energy_keV=ENERGY_KEV, d_min_A=0.9)
    scaled = crystal.scaled(factor)
    after = powder_reflections(scaled, energy_keV=ENERGY_KEV, d_min_A=0.9 * factor)
    assert after.names == before.names
    np.testing.assert_array_equal(after.multiplicity, before.multiplicity)
    np.testing.assert_allclose(after.d_A, before.d_A * factor, rtol=1e-11)
    everything = all_indices(scaled, d_min_A=0.9 * factor * (1 - 1e-9))
    f = structure_factors_e(scaled, hkl=everything, energy_keV=ENERGY_KEV)
    total = np.sum(after.multiplicity * after.f_squared_e2)
    assert np.sum(np.abs(f) ** 2) == pytest.approx(total, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(li=st.floats(0.0, 1.0), mn=st.floats(0.0, 1.0))
def test_structure_factor_is_linear_in_occupancies(li, mn):
    # Law: F(o) = Σ o F_element, at fixed B.
    crystal = load_crystal("LiMnO2-rocksalt")
    cation, oxygen = crystal.sites
    hkl = np.array([[1, 1, 1], [2, 0, 0], [3, 1, 1]])

    def factors(occupancies):
        site = Site("M1", occupancies, cation.xyz, cation.b_iso_A2, cation.multiplicity)
        return structure_factors_e(
            crystal.with_sites([site, oxygen]), hkl=hkl, energy_keV=ENERGY_KEV
        )

    total = 1.0 + li + mn
    pair = (("Li", li / total), ("Mn", mn / total))
    nothing, lithium, manganese = factors(()), factors((("Li", 1.0),)), factors((("Mn", 1.0),))
    expected = nothing + li / total * (lithium - nothing) + mn / total * (manganese - nothing)
    np.testing.assert_allclose(factors(pair), expected, rtol=1e-11)
