"""What `check` tells beforehand: figures against hand computation, warnings when they are due."""

from pathlib import Path

import numpy as np
import pytest

from forward.settings import Effects
from phantoms.library import Electrode, Particle1
from phantoms.particle import Particle
from validation.check import dose_MGy, forecast
from validation.experiment import Experiment, ParticleList, load_experiment
from validation.steps import simulate
from xrdct.instrument import Beam, Geometry
from xrdct.scan import SCAN_PRESETS, Scan

ROOT = Path(__file__).parent.parent
SCAN = Scan(n_offsets=21, step_um=1.0, n_angles=40)
GEOMETRY = Geometry(n_channels=100)


def experiment(**more):
    """A 16 µm particle in the middle of a 21 µm scan whose angles suffice for 25 µm."""
    ball = Particle(centre_um=(0.0, 0.0, 0.0), diameter_um=16.0)
    given = {"sample": ParticleList(particles=(ball,)), "scan": SCAN, "geometry": GEOMETRY}
    return Experiment(**(given | more))


def warnings_of(**more):
    return forecast(experiment(**more)).warnings


@pytest.mark.parametrize(
    ("preset", "diameter_um"),
    [("roi", 223), ("roi_degraded", 159), ("coarse", 1031), ("broad", 2546)],
)
def test_alias_free_diameters_of_the_study(preset, diameter_um):
    # 2·N·step/π by hand, rounded: 2·350·1/π = 222.8; 2·250·1/π = 159.2; 2·81·20/π = 1031.3;
    # 2·80·50/π = 2546.5 (to half a µm).
    told = forecast(experiment(scan=SCAN_PRESETS[preset])).alias_free_diameter_um
    assert told == pytest.approx(diameter_um, abs=0.51)


def test_dose_of_a_point_against_the_published_figure():
    # 1e12 ph/s/µm² and 10 ms at 50 keV: 7 MGy in LiMn2O4, given to one digit. By hand, with NIST
    # µ_en/ρ at 50 keV of 1.45 (Mn), 0.0441 (O), 0.021 (Li) cm²/g and mass fractions 0.608, 0.354,
    # 0.038: 0.898 cm²/g · 1e18 /cm² · 8.011e-15 J · 1000 = 7.2 MGy; xraylib's differ by 3 %.
    point = experiment(
        beam=Beam(flux_per_s=1e12, energy_keV=50.0), scan=SCAN.model_copy(update={"n_angles": 1})
    )
    assert dose_MGy(point) == pytest.approx(7.0, abs=0.5)
    assert dose_MGy(point) == pytest.approx(7.2, rel=0.04)


def test_dose_follows_what_it_depends_on():
    # Law: photons per area of the slice. The beam's width spreads them over neighbours.
    start = dose_MGy(experiment())
    beam = Beam()
    for more, factor in (
        ({"beam": beam.model_copy(update={"flux_per_s": 3e11})}, 3.0),
        ({"beam": beam.model_copy(update={"height_um": 2.0})}, 0.5),
        ({"beam": beam.model_copy(update={"width_um": 2.0})}, 1.0),
        ({"scan": SCAN.model_copy(update={"n_angles": 80})}, 2.0),
        ({"scan": SCAN.model_copy(update={"exposure_s": 0.03})}, 3.0),
        ({"scan": SCAN.model_copy(update={"step_um": 4.0})}, 0.25),
        ({"scan": SCAN.model_copy(update={"n_offsets": 42})}, 1.0),
    ):
        assert dose_MGy(experiment(**more)) == pytest.approx(factor * start, rel=1e-12)


def test_points_time_and_photons_by_hand():
    # 21·40 + 5·4 = 860 points; 10.95 ms each with readout of 0.95 ms; 1e9 photons in 10 ms.
    coarse = Scan(n_offsets=5, step_um=4.0, n_angles=4)
    told = forecast(experiment(scans={"coarse": coarse}, beam=Beam(flux_per_s=1e11)))
    assert told.n_points == 860
    assert told.beam_time_s == pytest.approx(860 * 0.01095)
    assert told.photons == pytest.approx(860e9)
    assert told.file_MB == pytest.approx(860 * 100 * 4 / 1e6)
    assert told.memory_MB >= told.file_MB + 2 * 4 * 21 * 21 * 100 / 1e6
    assert told.sample_diameter_um == 16.0


def test_roi_scan_of_the_study_by_hand():
    # 351·350 = 122 850 points of 10.95 ms are 22.4 min; both other scans add 81·81 + 81·80; after
    # each of the 350 lines of the first the rotation takes 0.1 s.
    told = forecast(load_experiment(ROOT / "examples" / "roi.toml"))
    assert told.n_points == 122_850 + 6_561 + 6_480
    assert told.beam_time_s == pytest.approx(1488.0 + 35.0, abs=0.1)
    assert told.sample_diameter_um == 1000.0
    assert len(told.warnings) == 2  # seen in part, and in too few angles: π/2 · 1000 are needed
    assert "the sample (1000 µm) is wider than the scan (351 µm)" in told.warnings[0]
    assert "350 angles are too few for 1000 µm of sample" in told.warnings[1]
    assert "about 1571 angles needed" in told.warnings[1]


def test_file_size_is_that_of_all_counts():
    tiny = load_experiment(ROOT / "tests" / "data" / "tiny.toml")
    simulated = simulate(tiny)
    measured = (simulated.raw, *simulated.others.values())
    total = sum(raw.counts.nbytes for raw in measured)
    assert forecast(tiny).file_MB == pytest.approx(total / 1e6)


def test_nothing_to_warn_of():
    assert warnings_of() == ()
    assert forecast(load_experiment(ROOT / "examples" / "particle.toml")).warnings == ()


def test_sample_wider_than_the_scan_is_warned_of():
    def ball(diameter_um, x_um=0.0):
        particle = Particle(centre_um=(x_um, 0.0, 0.0), diameter_um=diameter_um)
        return ParticleList(particles=(particle,))

    wide = SCAN.model_copy(update={"n_angles": 100})
    assert warnings_of(scan=wide, sample=ball(21.0)) == ()
    (told,) = warnings_of(scan=wide, sample=ball(21.1))
    assert told.startswith("the sample (21 µm) is wider than the scan (21 µm)")
    assert warnings_of(scan=wide, sample=ball(11.0, x_um=5.0)) == ()
    assert len(warnings_of(scan=wide, sample=ball(11.0, x_um=5.1))) == 1  # it turns about the axis
    assert len(warnings_of(scan=wide, sample=Particle1(diameter_um=22.0))) == 1


def test_too_few_angles_are_warned_of():
    # π/2 · 16 = 25.13: 26 angles suffice for 16 µm, 25 do not.
    def at(n_angles, **more):
        return warnings_of(scan=SCAN.model_copy(update={"n_angles": n_angles, **more}))

    assert at(26) == ()
    (told,) = at(25)
    assert told.startswith("25 angles are too few for 16 µm of sample")
    assert told.endswith("(about 26 angles needed)")
    assert at(52, angle_range_deg=360.0) == ()
    assert len(at(50, angle_range_deg=360.0)) == 1  # opposite angles see the same


def test_rings_off_the_detector_are_warned_of():
    # The farthest corner of a 1679 × 1475 detector of 172 µm is 192.2 mm from its middle: at 1 m
    # rings end below atan(0.1922) = 10.88°. The middle of its rim, 126.9 mm, is at 7.23°.
    def at(distance_m, low_deg, high_deg):
        angles = {"two_theta_min_deg": low_deg, "two_theta_max_deg": high_deg}
        return warnings_of(geometry=Geometry(distance_m=distance_m, n_channels=400, **angles))

    assert at(1.0, 1.5, 7.2) == ()
    (told,) = at(1.0, 1.5, 12.0)
    first, last = (float(word.rstrip("°")) for word in told.split() if word.endswith("°"))
    assert 7.23 < first <= 10.9
    assert last == pytest.approx(12.0, abs=0.02)
    assert len(at(0.7, 0.0, 20.0)) == 2  # in the gap at the middle, and outside


def test_gaps_between_steps_are_warned_of():
    assert warnings_of(beam=Beam(width_um=0.7)) == ()
    (told,) = warnings_of(beam=Beam(width_um=0.6))
    assert "steps of 1 µm with a beam of 0.6 µm" in told


def test_several_planes_are_warned_of():
    (told,) = warnings_of(scan=SCAN.model_copy(update={"n_planes": 3}))
    assert told == "pattern mode simulates one plane at a time"


def test_empty_slice_is_warned_of():
    above = Particle(centre_um=(0.0, 0.0, 5.0), diameter_um=8.0)
    for sample in (
        ParticleList(particles=()),
        ParticleList(particles=(above,)),
        Particle1(z_um=-9.0),
    ):
        (told,) = warnings_of(sample=sample, scan=SCAN)
        assert told.startswith("no particle reaches the measured plane, z = ")
    assert warnings_of(sample=ParticleList(particles=(above,), z_um=1.1)) == ()
    assert warnings_of(sample=Particle1(z_um=8.9)) == ()


def test_electrode_is_not_packed(monkeypatch):
    monkeypatch.setattr("phantoms.electrode.pack_slice", None)
    told = forecast(experiment(sample=Electrode(diameter_um=20.0), effects=Effects()))
    assert told.sample_diameter_um == 20.0
    assert np.isfinite(told.dose_MGy)


def test_an_interlaced_scan_is_judged_by_its_maps_of_half_steps():
    # Truth: its merged rays lie half a step apart, so that maps have 2n − 1 pixels a side.
    scan = Scan(n_offsets=21, n_angles=60, step_um=2.0)
    plain = forecast(experiment(scan=scan))
    interlaced = forecast(experiment(scan=scan.model_copy(update={"interlaced": True})))
    assert any("unmeasured" in warning for warning in plain.warnings)
    assert not any("unmeasured" in warning for warning in interlaced.warnings)
    more_MB = 2 * 4 * (41**2 - 21**2) * 100 / 1e6
    assert interlaced.memory_MB - plain.memory_MB == pytest.approx(more_MB)
