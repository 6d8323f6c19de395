"""Our Rietveld refinement beside two other programs, rietx and phasesmith.

Truth: their patterns from the same CIF files, by their own symmetry, structure factors and
profiles, and their refinements of the same data. Where conventions differ (`benchmarks.peer_phases`
lists them), the size of the difference is derived here. The round robin's compositions: Madsen et
al., J. Appl. Cryst. 34 (2001) 409. Skipped where a program is not installed.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peer_phases import PeerPhase, channels_deg, whole_ring
from inverse.model import Instrument, draw_patterns, phase_lines
from inverse.recipe import Calibration, Profile
from inverse.refine import Status
from inverse.rietveld import refine_patterns
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from xrdct import crystal
from xrdct.cell import cell_volume_A3
from xrdct.instrument import Beam, Geometry

DATA = Path(__file__).parent / "data"
CRYSTALS = Path(crystal.__file__).parent / "crystals"
PROGRAMS = ("rietx", "phasesmith")
BATTERY = ("LiMn2O4", "Li2MnO3", "LiMnO2-rocksalt", "Li0.5Mn2O4")
ROUND_ROBIN = ("corundum", "fluorite", "zincite")
CPD_1 = {
    "a": (1.15, 94.81, 4.04),
    "b": (94.31, 4.33, 1.36),
    "c": (5.04, 1.36, 93.59),
    "d": (13.53, 53.58, 32.89),
    "e": (55.12, 29.62, 15.25),
    "f": (27.06, 17.72, 55.22),
    "g": (31.37, 34.42, 34.21),
    "h": (35.12, 34.69, 30.19),
}
"""Weighed per cent of corundum, fluorite and zincite in samples 1a to 1h."""

GEOMETRY = Geometry(
    distance_m=0.7, two_theta_min_deg=1.5, two_theta_max_deg=17.5, n_channels=1000
)  # fmt: skip
CALIBRATION = Calibration(
    profile=Profile(U_deg2=1e-3, V_deg2=-1e-4, W_deg2=6e-4, X_deg=2e-3, Y_deg=1e-3),
    distance_m=0.7,
)
INSTRUMENT = Instrument(Beam(), GEOMETRY, CALIBRATION)
RING = whole_ring(channels_deg(INSTRUMENT))
FACTORS = 0.004
"""By how much |F|² differs, with f0 from xraylib or from Waasmaier & Kirfel: on the lines that
count, s < 0.35 /Å, their f0 of O, F, Al, Ca, Mn and Zn are larger by 0.02 to 0.2 %."""
SPREAD = 0.002
"""By how much this bias of scales differs between phases: the width of that range, twice."""


def program(name):
    pytest.importorskip(name)
    return importlib.import_module(f"benchmarks.peer_{name}")


def peer_phase(name, **values):
    folder = DATA if name in ROUND_ROBIN else CRYSTALS
    return PeerPhase.read(folder / f"{name}.cif", **values)


def drawn(phases):
    """The pattern of a mixture by `inverse.model`, without background."""
    return sum(
        one.volume_fraction
        * draw_patterns(
            phase_lines([one.crystal], beam=INSTRUMENT.beam, geometry=GEOMETRY),
            instrument=INSTRUMENT,
            crystallite_size_nm=one.crystallite_size_nm,
            strain=one.strain,
        )[0]
        for one in phases
    )


def measured(pattern, *, peak, seed):
    """Poisson data of so many counts at the highest channel, their variance, and their mean.

    The background is flat but for a slope in the others' units, so that five Chebyshev terms in
    theirs hold it exactly, and in ours (times sin2θ, close to 2θ) to 1e-5.
    """
    slope = np.linspace(0.7, 1.3, pattern.size)
    mean = pattern + 0.05 * (pattern / RING).max() * slope * RING
    counts_per_unit = peak / mean.max()
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean * counts_per_unit)
    return counts / counts_per_unit, mean / counts_per_unit, mean


def refined(patterns, *, variance, phases, with_widths=False, n_background=5):
    """Our refinement of patterns, from what ``phases`` say."""
    freedom = "voxel" if with_widths else "fixed"
    settings = Rietveld(
        phases=tuple(
            RietveldPhase(
                crystal=str(DATA / f"{one.name}.cif") if one.name in ROUND_ROBIN else one.name,
                name=one.name,
                cell_start=one.stretch,
                size=freedom,
                crystallite_size_nm=one.crystallite_size_nm,
                strain=freedom,
                strain_value=one.strain,
            )
            for one in phases
        ),
        n_background=n_background,
    )
    model = rietveld_model(
        settings, beam=INSTRUMENT.beam, geometry=GEOMETRY, calibration=CALIBRATION
    )
    result = refine_patterns(
        np.atleast_2d(patterns), variance=np.atleast_2d(variance), model=model, covariance=True
    )
    assert (result.status == Status.CONVERGED).all()
    return result


def weight_fractions(result, phases):
    """W = φρ/Σφρ of every pattern and their esd (Hill & Howard), both (pattern, phase).

    ρ follows the refined cell; its uncertainty is nothing beside that of φ.
    """
    density = np.stack([densities(result, one) for one in phases], axis=1)
    mass = result.values[:, : len(phases)] * density
    total = mass.sum(axis=1, keepdims=True)
    weights = mass / total
    slopes = (np.eye(len(phases)) - weights[:, :, None]) * (density / total)[:, None, :]
    scales = result.covariance[:, : len(phases), : len(phases)]
    return weights, np.sqrt(np.einsum("vij,vjk,vik->vi", slopes, scales, slopes))


def densities(result, phase):
    """X-ray densities in the refined cells, (pattern,)."""
    free = np.stack([result.of(f"{phase.name}.{name}") for name in phase.law.names], axis=1)
    volumes = np.array([cell_volume_A3(phase.law.cell(one)) for one in free])
    return phase.crystal.density_g_per_cm3 * phase.crystal.volume_A3 / volumes


def skew(phase):
    """How far dividing by sin2θ at the line moves its lattice spacing, relative: the largest.

    A line g(x) seen through 1/sin2θ is g(x)·(1 − x/tan2θ) there, shifted by σ²/tan2θ of its
    variance σ², which moves d by σ²/(2 tanθ tan2θ), most for the first line. Twice that of the
    Gaussian width allows for the Lorentzian part.
    """
    lines = phase_lines([phase.crystal], beam=INSTRUMENT.beam, geometry=GEOMETRY)
    angle = lines.angle_rad.min()
    variance = np.deg2rad(0.035) ** 2 / (8.0 * np.log(2.0))
    return variance / (np.tan(0.5 * angle) * np.tan(angle))


@pytest.mark.parametrize("name", [*BATTERY, *ROUND_ROBIN])
def test_phasesmith_draws_the_same_pattern(name):
    # With our form factors and the Lorentz factor of a whole ring nothing is left to convention:
    # symmetry, multiplicities, structure factors, widths and the absolute scale must agree. What is
    # left: tails end at 1.5° here and later there, where a line of Γ = 0.035° still has (Γ/3°)² =
    # 1.4e-4 of its Lorentzian height.
    peer = program("phasesmith")
    phase = peer_phase(
        name, volume_fraction=1.0, stretch=0.9987, crystallite_size_nm=80.0, strain=3e-4
    )
    ours = drawn([phase])
    theirs = peer.simulate([phase], instrument=INSTRUMENT, with_our_physics=True)
    np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=3e-4 * ours.max())


@pytest.mark.parametrize("name", PROGRAMS)
def test_others_draw_nearly_the_same_pattern(name):
    # Their own tables and Lorentz factors: within the form factors, on top of which the height of a
    # line at 2θ is moved by its width over tan2θ, to first order odd about the line.
    peer = program(name)
    phases = [peer_phase("LiMn2O4", volume_fraction=0.6), peer_phase("zincite", strain=5e-4)]
    ours = drawn(phases)
    theirs = peer.simulate(phases, instrument=INSTRUMENT)
    np.testing.assert_allclose(theirs, ours, rtol=0.0, atol=FACTORS * ours.max())
    # Beyond 1.5° lie η Γ/(π·1.5°) = 0.3 % of a line, of which they leave out 0.1 % at the most.
    assert theirs.sum() == pytest.approx(ours.sum(), rel=FACTORS + 0.003)


MIXTURES = {
    "spinel": (("LiMn2O4", 0.5, 0.9985),),
    "spinel and Li2MnO3": (("LiMn2O4", 0.4, 0.9985), ("Li2MnO3", 0.2, 1.001)),
    "three": (
        ("LiMn2O4", 0.3, 0.9985),
        ("Li2MnO3", 0.15, 1.001),
        ("LiMnO2-rocksalt", 0.1, 1.0005),
    ),
}
SAME_DATA = [
    pytest.param("rietx", "spinel"),
    pytest.param("phasesmith", "spinel"),
    pytest.param("rietx", "spinel and Li2MnO3"),
    pytest.param("phasesmith", "spinel and Li2MnO3", marks=pytest.mark.slow),
    pytest.param("rietx", "three", marks=pytest.mark.slow),
    pytest.param("phasesmith", "three", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "mixture"), SAME_DATA)
def test_same_data_same_answer(name, mixture):
    # Both are least squares with the same variances. They differ by what conventions do to the
    # answer, which the same data without noise show, and by how noise acts: the columns of the two
    # designs differ by 1–2 % (lines skewed by σ/tan2θ, channels drawn as Gaussians there,
    # backgrounds of another span), so noise moves the two apart by 0.02–0.03 esd: 0.2 is above six
    # of these (false alarm 1e-9). At these counts what conventions do is up to half an esd.
    peer = program(name)
    truth = [
        peer_phase(one, volume_fraction=f, stretch=s, crystallite_size_nm=80.0, strain=6e-4)
        for one, f, s in MIXTURES[mixture]
    ]
    start = [one.changed(stretch=1.0, volume_fraction=0.7 * one.volume_fraction) for one in truth]
    data, variance, mean = measured(drawn(truth), peak=3000.0, seed=11)
    both = np.stack([mean, data])
    ours = refined(both, variance=np.stack([variance, variance]), phases=start)
    theirs = [
        peer.refine(one, variance=variance, phases=start, instrument=INSTRUMENT) for one in both
    ]
    for parameter in theirs[0].names:
        clean, noisy = ours.of(parameter)
        esd = ours.esd_of(parameter)[1]
        their_clean, their_noisy = (fit.of(parameter) for fit in theirs)
        assert abs((their_noisy - their_clean) - (noisy - clean)) < 0.2 * esd, parameter
        assert abs(their_noisy - noisy) < esd, parameter
        assert theirs[1].esd_of(parameter) == pytest.approx(esd, rel=0.03), parameter
        if parameter.endswith(".scale"):
            assert their_clean == pytest.approx(clean, rel=FACTORS), parameter
    for one in truth:
        if one.law.names == ("a_A",):
            clean = ours.of(f"{one.name}.a_A")[0]
            assert clean == pytest.approx(one.crystal.cell_A_deg[0], rel=1e-6)
            assert theirs[0].of(f"{one.name}.a_A") == pytest.approx(clean, rel=skew(one))
    assert theirs[1].chi2_reduced == pytest.approx(ours.chi2_reduced[1], rel=0.01)
    weights, esds = weight_fractions(ours, start)
    for one, weight, esd in zip(start, weights[1], esds[1], strict=True):
        # rietx takes masses and volumes from its own tables and cells.
        limit = 0.25 * SPREAD + 0.2 * esd
        assert theirs[1].weight_fractions[one.name] == pytest.approx(weight, abs=limit)


@pytest.mark.parametrize(
    "name", ["rietx", pytest.param("phasesmith", marks=pytest.mark.slow)]
)  # fmt: skip
def test_same_sizes_and_strains(name):
    # As above, with size and strain refined too: which are strongly correlated with each other and
    # with the widths of channels, so that conventions matter by more.
    peer = program(name)
    truth = [
        peer_phase(
            "LiMn2O4", volume_fraction=0.5, stretch=0.9985, crystallite_size_nm=80.0, strain=6e-4
        )
    ]
    start = [truth[0].changed(stretch=1.0, crystallite_size_nm=100.0, strain=4e-4)]
    data, variance, _ = measured(drawn(truth), peak=3000.0, seed=12)
    ours = refined(data, variance=variance, phases=start, with_widths=True)
    theirs = peer.refine(
        data, variance=variance, phases=start, instrument=INSTRUMENT, with_widths=True
    )
    assert {"LiMn2O4.size_nm", "LiMn2O4.strain"} < set(theirs.names)
    for parameter in theirs.names:
        esd = ours.esd_of(parameter)[0]
        assert abs(theirs.of(parameter) - ours.of(parameter)[0]) < esd, parameter
        assert theirs.esd_of(parameter) == pytest.approx(esd, rel=0.03), parameter


@pytest.mark.parametrize("name", PROGRAMS)
def test_round_robin_mixtures(name):
    # Their patterns of the eight mixtures, our refinement. Without noise a weight fraction f is off
    # by f(1 − f) ≤ ¼ of the spread of the form factors' bias. With noise, six standard
    # uncertainties more (24 fractions: false alarm 5e-8).
    peer = program(name)
    pure = [peer_phase(one, volume_fraction=1.0, strain=3e-4) for one in ROUND_ROBIN]
    patterns = np.stack([peer.simulate([one], instrument=INSTRUMENT) for one in pure])
    wanted = np.array(list(CPD_1.values())) / 100.0
    wanted /= wanted.sum(axis=1, keepdims=True)
    volumes = wanted / np.array([one.crystal.density_g_per_cm3 for one in pure])
    volumes *= 0.6 / volumes.sum(axis=1, keepdims=True)
    start = [one.changed(stretch=1.001) for one in pure]
    made = [
        measured(pattern, peak=1e5, seed=20 + n) for n, pattern in enumerate(volumes @ patterns)
    ]
    noisy, variance, clean = (np.stack(each) for each in zip(*made, strict=True))
    for data, n_esd in ((clean, 0.0), (noisy, 6.0)):
        result = refined(data, variance=variance, phases=start, n_background=6)
        weights, esd = weight_fractions(result, pure)
        assert (np.abs(weights - wanted) < 0.25 * SPREAD + n_esd * esd).all()
        assert (esd < 0.0015).all()
        for phase, one in enumerate(pure):
            of_note = wanted[:, phase] > 0.1
            for name, true_A in (
                ("a_A", one.crystal.cell_A_deg[0]),
                ("c_A", one.crystal.cell_A_deg[2]),
            ):
                if name in one.law.names:
                    found, uncertainty = (
                        each(f"{one.name}.{name}")[of_note] for each in (result.of, result.esd_of)
                    )
                    limit = skew(one) * true_A + n_esd * uncertainty
                    assert (np.abs(found - true_A) < limit).all()


def test_peer_mixture_is_the_sum_of_its_phases():
    # A law: patterns add up. Rounding, and the edges of their windows.
    for name in PROGRAMS:
        peer = program(name)
        phases = [peer_phase(one, volume_fraction=0.2) for one in ROUND_ROBIN]
        whole = peer.simulate(phases, instrument=INSTRUMENT)
        parts = sum(peer.simulate([one], instrument=INSTRUMENT) for one in phases)
        np.testing.assert_allclose(whole, parts, rtol=0.0, atol=1e-9 * whole.max())


@pytest.mark.parametrize("name", PROGRAMS)
def test_four_battery_phases(name):
    # Rock salt lies under the spinel, and the ordered half-lithiated spinel 0.06 Å beside it.
    peer = program(name)
    truth = [
        peer_phase(one, volume_fraction=f, stretch=s, crystallite_size_nm=60.0, strain=8e-4)
        for one, f, s in zip(
            BATTERY, (0.3, 0.12, 0.08, 0.1), (0.9960, 1.001, 1.0005, 0.9995), strict=True
        )
    ]
    start = [one.changed(stretch=1.0) for one in truth]
    start[0] = start[0].changed(stretch=0.9975)
    pattern = peer.simulate(truth, instrument=INSTRUMENT)
    noisy, variance, clean = measured(pattern, peak=2e4, seed=31)
    result = refined(
        np.stack([clean, noisy]), variance=np.stack([variance, variance]), phases=start
    )
    density = np.array([one.crystal.density_g_per_cm3 for one in truth])
    mass = density * [one.volume_fraction for one in truth]
    weights, esd = weight_fractions(result, truth)
    assert (np.abs(weights[0] - mass / mass.sum()) < 0.25 * SPREAD).all()
    assert (np.abs(weights[1] - mass / mass.sum()) < 0.25 * SPREAD + 6.0 * esd[1]).all()
    for one in truth:
        if one.law.names == ("a_A",):
            a_A = one.crystal.cell_A_deg[0]
            found, uncertainty = result.of(f"{one.name}.a_A"), result.esd_of(f"{one.name}.a_A")
            assert found[0] == pytest.approx(a_A, rel=skew(one))
            assert abs(found[1] - a_A) < skew(one) * a_A + 6.0 * uncertainty[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_sizes_and_strains_of_their_patterns(name):
    # Widths follow the same laws: size to the Lorentzian, strain to the Gaussian. Without noise
    # what is left are skew and tails.
    peer = program(name)
    truth = [peer_phase("LiMn2O4", volume_fraction=0.5, crystallite_size_nm=60.0, strain=8e-4)]
    pattern = peer.simulate(truth, instrument=INSTRUMENT)
    _, variance, clean = measured(pattern, peak=1e4, seed=41)
    start = [truth[0].changed(crystallite_size_nm=100.0, strain=4e-4)]
    result = refined(clean, variance=variance, phases=start, with_widths=True)
    assert result.of("LiMn2O4.size_nm")[0] == pytest.approx(60.0, rel=0.01)
    assert result.of("LiMn2O4.strain")[0] == pytest.approx(8e-4, rel=0.02)
