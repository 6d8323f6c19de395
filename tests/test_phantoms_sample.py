"""The sample: what cannot be is refused, fractions add up, and the library is as published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from phantoms.library import Electrode, Particle1, Particle2, build, library_names, library_spec
from phantoms.particle import Particle, RadialLaw, RadialTable, Shell
from phantoms.sample import Sample, radial_layers
from xrdct.crystal import load_crystal
from xrdct.errors import InputError


def ball(**more):
    return Particle(**({"centre_um": (0.0, 0.0, 0.0), "diameter_um": 10.0} | more))


def shell(weight_fraction, **more):
    given = {"phase": "Li2MnO3", "thickness_um": 1.0, "weight_fraction": weight_fraction}
    return Shell(**(given | more))


def volumes(layers):
    """Volume of each layer, µm³."""
    return 4.0 / 3.0 * np.pi * (layers.r_outer_um**3 - layers.r_inner_um**3)


def weights(sample, layers):
    """Grams (times 1e12) of spinel and of each further phase in each layer."""
    spinel = (layers.fraction_low + layers.fraction_high) * layers.spinel_density_g_per_cm3
    densities = [sample.crystals[p].density_g_per_cm3 for p in sample.extra_phases]
    return np.column_stack([spinel, layers.extra_fraction * densities]) * volumes(layers)[:, None]


@given(distance=st.floats(9.0, 11.0), azimuth=st.floats(0, 6.3), polar=st.floats(0, 3.1))
def test_particles_overlap_where_centres_are_nearer_than_both_radii(distance, azimuth, polar):
    # Closed form: two balls of 10 µm in any direction; touching is allowed.
    offset = distance * np.array(
        [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)]
    )
    pair = (ball(), ball(centre_um=tuple(offset)))
    if np.linalg.norm(offset) < 10.0 - 1e-5:
        with pytest.raises(InputError, match=r"but particles\[0\] \(centre 0, 0, 0 µm\) and"):
            Sample(pair)
    elif np.linalg.norm(offset) > 10.0:
        assert len(Sample(pair).particles) == 2


def test_overlap_names_the_pair():
    row = [ball(centre_um=(20.0 * i, 0.0, 0.0)) for i in range(4)]
    with pytest.raises(InputError) as told:
        Sample((*row, ball(centre_um=(41.5, 3.0, -1.0))))
    assert str(told.value) == (
        "particles must not overlap, but particles[2] (centre 40, 0, 0 µm) and particles[4] "
        "(centre 41.5, 3, -1 µm) do"
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"x": 1.2}, "x must lie between 3y, .* and 1; got x = 1.2 at y = 0"),
        ({"x": -0.1}, "got x = -0.1 at y = 0"),
        ({"x": 0.2, "y": 0.1}, "got x = 0.2 at y = 0.1"),
        ({"y": 0.11}, "y must lie between 0 and 0.10, got y = 0.11"),
        ({"x": RadialLaw(core=0.9, surface=1.3)}, "got x = 1.3 at y = 0"),
        ({"x": RadialLaw(core=1.3, surface=0.9)}, "got x = 1.3 at y = 0"),
        # Between two of the radii that a law is looked at: found at the nodes of the table.
        (
            {"x": RadialTable(r_over_R=(0.5, 0.51, 0.52), value=(0.9, 1.1, 0.9))},
            "got x = 1.1",
        ),
        (
            {"x": 0.25, "y": RadialTable(r_over_R=(0, 0.51, 0.52, 1), value=(0, 0, 0.09, 0))},
            "got x = 0.25 at y = 0.09",
        ),
    ],
)  # fmt: skip
def test_composition_out_of_range_names_the_particle(given, sentence):
    good = ball(centre_um=(30.0, 0.0, 0.0))
    with pytest.raises(InputError, match=rf"^particles\[1\] \(centre 0, 0, 0 µm\): .*{sentence}"):
        Sample((good, ball(**given)))


def test_whole_range_of_composition_is_allowed():
    for x, y in ((0.0, 0.0), (1.0, 0.0), (0.3, 0.1), (1.0, 0.1), (0.15, 0.05)):
        assert Sample((ball(x=x, y=y),)).particles[0].x == x


def test_shells_may_fill_their_layer_and_no_more():
    Sample((ball(shells=(shell(0.6), shell(0.4, phase="LiMnO2-rocksalt"))),))
    with pytest.raises(InputError, match=r"particles\[0\] .* add up to 1\.1 at some depth"):
        Sample((ball(shells=(shell(0.6), shell(0.5, phase="LiMnO2-rocksalt"))),))


def test_shells_that_share_a_border_do_not_add_up():
    # 0 to 1 µm and 1 to 2 µm: at no depth do both count, the border itself apart.
    for diameter_um in (8.0, 10.0, 9.7):
        Sample((ball(diameter_um=diameter_um, shells=(shell(0.6), shell(0.6, depth_um=1.0))),))


def test_narrow_overlap_of_shells_is_found():
    # Overlapping over 4 nm of a particle of 20 µm.
    pair = (shell(0.6, thickness_um=3.002), shell(0.6, depth_um=2.998))
    with pytest.raises(InputError, match=r"add up to 1\.2 at some depth"):
        Sample((ball(diameter_um=20.0, shells=pair),))


def test_gradients_that_cross_are_added_where_they_are_largest():
    # 1 → 0 and 0 → 1 over the same layer: 1 everywhere. With 0 → 1.0 over half of it, more.
    Sample((ball(shells=(shell((1.0, 0.0)), shell((0.0, 1.0)))),))
    with pytest.raises(InputError, match=r"add up to 1\.5 at some depth"):
        Sample((ball(shells=(shell((1.0, 0.0)), shell((0.0, 1.0), thickness_um=0.5))),))


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (shell(0.1, phase="LiMn2O4"), "a shell cannot be of LiMn2O4, which the particle itself"),
        (
            shell(0.1, depth_um=5.0),
            "shell of Li2MnO3 begins at a depth of 5 µm, but its rad",
        ),
    ],
)
def test_shell_that_cannot_be_is_refused(bad, sentence):
    with pytest.raises(InputError, match=rf"^particles\[0\] .*{sentence}"):
        Sample((ball(shells=(bad,)),))
    with pytest.raises(InputError, match="unknown crystal 'Unobtainium'"):
        Sample((ball(shells=(shell(0.1, phase="Unobtainium"),)),))


def test_shell_thicker_than_the_particle_fills_it():
    layers = radial_layers(
        Sample((ball(shells=(shell(1.0, thickness_um=99.0),)),)), layer_um=0.1
    )  # fmt: skip
    np.testing.assert_allclose(layers.extra_fraction, 1.0)
    np.testing.assert_allclose(layers.fraction_low + layers.fraction_high, 0.0, atol=1e-15)


def test_phase_of_a_cif_file_is_found_by_its_path(tmp_path, request):
    text = (request.config.rootpath / "xrdct/crystals/Al.cif").read_text()
    (tmp_path / "mine.cif").write_text(text)
    sample = Sample((ball(shells=(shell(0.1, phase=str(tmp_path / "mine.cif")),)),))
    (crystal,) = sample.crystals.values()
    assert crystal.cell_A_deg == load_crystal("Al").cell_A_deg


@given(
    x=st.floats(0.0, 1.0),
    weight=st.floats(0.0, 1.0),
    inner=st.floats(0.0, 1.0),
    porosity=st.floats(0.0, 0.9),
    layer_um=st.floats(0.03, 2.0),
)
def test_fractions_of_every_layer_add_up(x, weight, inner, porosity, layer_um):
    # Law: what is not pore is phase; layers fill the ball; weight fractions are those asked for.
    asked = shell((weight, inner), depth_um=0.5)
    sample = Sample((ball(x=x, porosity=porosity, shells=(asked,)),))
    layers = radial_layers(sample, layer_um=layer_um)
    total = layers.fraction_low + layers.fraction_high + layers.extra_fraction.sum(axis=1)
    np.testing.assert_allclose(total, 1.0 - porosity, rtol=1e-12)
    assert volumes(layers).sum() == pytest.approx(np.pi / 6.0 * 10.0**3, rel=1e-9)
    mass = weights(sample, layers)
    depth_um = 5.0 - 0.5 * (layers.r_inner_um + layers.r_outer_um)
    inside = (depth_um > 0.5) & (depth_um < 1.5)
    expected = np.where(inside, weight + (inner - weight) * (depth_um - 0.5), 0.0)
    np.testing.assert_allclose(mass[:, 1] / mass.sum(axis=1), expected, atol=1e-9)


def test_layers_end_where_shells_do():
    # So that no layer is half inside a shell: thickness 1.03 µm below 0.41 µm.
    sample = Sample((ball(shells=(shell(0.5, thickness_um=1.03, depth_um=0.41),)),))
    layers = radial_layers(sample, layer_um=0.25)
    for radius in (5.0 - 0.41, 5.0 - 1.44):
        assert np.min(np.abs(layers.r_outer_um - radius)) < 1e-12
    assert np.max(layers.r_outer_um - layers.r_inner_um) <= 0.25 + 1e-12


def test_diameter_counts_from_the_axis():
    # Farthest material: |(3, 4)| + 5 = 10 µm from the axis.
    assert Sample((ball(centre_um=(3.0, 4.0, 50.0)),)).diameter_um == pytest.approx(20.0)
    assert Sample(()).diameter_um == 0.0
    assert radial_layers(Sample(()), layer_um=0.1).particle.size == 0


def test_particle_1_is_as_published():
    # Li1.05 in the core to Li1.10 at the surface, whose full lattices are 8.234 and 8.223 Å, and
    # 3 to 4 wt % of Li2MnO3 in the outer layer. One layer of 5 nm spans 6e-6 Å.
    sample = build(Particle1(), seed=0)
    layers = radial_layers(sample, layer_um=0.005)
    assert layers.a_low_A[0] == pytest.approx(8.234, abs=1e-5)
    assert layers.a_low_A[-1] == pytest.approx(8.223, abs=1e-5)
    assert (layers.y[0], layers.y[-1]) == pytest.approx((0.05, 0.10), abs=1e-4)
    np.testing.assert_array_equal(layers.fraction_high, 0.0)
    mass = weights(sample, layers)
    share = mass[:, 1] / mass.sum(axis=1)
    outer = layers.r_outer_um > sample.particles[0].radius_um - 2.0 + 1e-9
    assert sample.extra_phases == ("Li2MnO3",)
    assert np.all((share[outer] >= 0.03) & (share[outer] <= 0.04))
    np.testing.assert_array_equal(share[~outer], 0.0)


def test_particle_2_is_as_published():
    # 26 wt % of rock salt after lithiation, no gradient from core to surface.
    sample = build(Particle2(), seed=0)
    layers = radial_layers(sample, layer_um=0.05)
    mass = weights(sample, layers)
    assert sample.extra_phases == ("LiMnO2-rocksalt",)
    np.testing.assert_allclose(mass[:, 1] / mass.sum(axis=1), 0.26, rtol=1e-9)
    assert np.ptp(layers.a_low_A) == 0.0
    assert np.all(layers.y == 0.0)
    without = build(Particle2(rock_salt_weight_fraction=0.0), seed=0)
    assert without.extra_phases == ()


def test_electrode_is_as_asked():
    spec = Electrode(diameter_um=120.0, volume_fraction=0.4, z_um=3.0)
    sample = build(spec, seed=5)
    again = build(spec, seed=5)
    assert sample.particles == again.particles
    assert sample.z_um == 3.0
    flat = build(spec.model_copy(update={"z_um": 0.0}), seed=5)
    lifted = sample.centres_um - flat.centres_um  # the packing moves with the measured plane
    np.testing.assert_allclose(lifted, [[0.0, 0.0, 3.0]] * len(lifted), atol=1e-12)
    centres, radii = sample.centres_um, sample.radii_um
    cut = np.maximum(radii**2 - (centres[:, 2] - 3.0) ** 2, 0.0)
    # The discs' area is driven to the target to half a disc, at most that of 20 µm: 2.8 %.
    assert np.sum(cut) / 60.0**2 == pytest.approx(0.4, abs=0.028)
    assert sample.diameter_um <= 120.0 + 1e-9
    assert 3.0 <= 2.0 * radii.max() <= 20.0
    assert radii.min() >= 0.75
    assert sample.extra_phases == ("Li2MnO3",)


def test_electrode_gradients_and_shares_follow_their_options():
    # About 700 particles: shares of 0.2 are known to 0.015, means to spread/26; 6 σ are allowed
    # (2e-9 each). Contents stay away from 1, where they would be cut off.
    spec = Electrode(diameter_um=200.0, filled_fraction=0.5, filled_gradient=0.1)
    particles = build(spec, seed=11).particles
    n = len(particles)
    assert n > 400
    rich = np.array([not isinstance(p.y, float) for p in particles])
    coated = np.array([bool(p.shells) for p in particles])
    for share in (rich.mean(), coated.mean()):
        assert abs(share - 0.2) < 6.0 * np.sqrt(0.2 * 0.8 / n)
    plain = [p for p, is_rich in zip(particles, rich, strict=True) if not is_rich]
    gradient = np.array([p.x.core - p.x.surface for p in plain])
    mean = np.array([0.5 * (p.x.core + p.x.surface) for p in plain])
    assert abs(gradient.mean() - 0.1) < 6.0 * 0.03 / np.sqrt(len(plain))
    assert abs(mean.mean() - 0.5) < 6.0 * 0.04 / np.sqrt(len(plain))
    for particle in (p for p, is_rich in zip(particles, rich, strict=True) if is_rich):
        assert particle.y == RadialLaw(core=0.05, surface=0.10)


def test_library_is_known_by_name():
    assert {"particle_1", "particle_2", "electrode"} <= set(library_names())
    assert library_spec({"library": "particle_1", "diameter_um": 9.0}) == Particle1(diameter_um=9.0)
    for name in ("particle_3", None, 3, ["electrode"]):
        with pytest.raises(InputError, match=r"no sample named .* in the library, which has"):
            library_spec({"library": name})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"smallest_particle_um": 20.0}, "smallest_particle_um .20. must lie below largest"),
        ({"largest_particle_um": 900.0, "diameter_um": 800.0}, "must not exceed the electrode's"),
        ({"largest_particle_um": 1001.0, "diameter_um": 5000.0}, "less than or equal to 1000"),
    ],
)
def test_electrode_of_impossible_sizes_is_refused(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Electrode(**options)


def test_packing_complains_in_the_words_of_the_options():
    with pytest.raises(InputError, match=r"^sample: almost no diameter .* median_particle_um 900"):
        build(Electrode(median_particle_um=900.0, sigma_log=0.1), seed=0)
    hopeless = Electrode(diameter_um=60.0, largest_particle_um=9.0, volume_fraction=0.69)
    with pytest.raises(InputError, match=r"^sample: volume_fraction 0.69 is out of reach"):
        build(hopeless, seed=0)


@pytest.mark.parametrize("spec", [Particle1(filled_fraction=0.0), Particle2(filled_fraction=0.0)])
def test_empty_of_lithium_is_allowed(spec):
    assert build(spec, seed=0).particles


def test_edge_of_a_shell_on_an_edge_of_a_layer_makes_no_sliver():
    # 9 µm in layers of 5 nm have an edge at 7 µm, but for rounding; 2 µm of shell end there too.
    layers = radial_layers(build(Particle1(), seed=0), layer_um=0.005)
    assert np.min(layers.r_outer_um - layers.r_inner_um) > 0.0049
