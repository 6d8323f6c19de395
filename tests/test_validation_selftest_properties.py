"""Every mistake that the self-test knows is found by the property suite, too, by its own defaults.

Those that a pipeline makes wrap our own chain; swapped trimming happens before, in the integration
of frames, and is planted there.
"""

from dataclasses import replace

import numpy as np
import pytest

from inverse.integration import Integration
from inverse.recover import recover
from validation.planted import PLANTED, other_way_round, polarised, unmonitored
from validation.properties import (
    PropertyError,
    detector_turn,
    flux_scaling,
    own_pipeline,
    planted_lattice_shift,
    rotation_equivariance,
    translation_equivariance,
    trimmed_rings,
    uncertainty_coverage,
)

ALL = (
    "a_A", "a_esd_noise_A", "a_esd_total_A", "volume_fraction", "volume_fraction_esd_noise",
    "volume_fraction_esd_total", "chi2_reduced", "status",
)  # fmt: skip


def seen(change):
    return lambda raw, others: recover(
        change(raw), others={name: change(other) for name, other in others.items()}
    )


def given(change):
    return lambda raw, others: change(own_pipeline(raw, others))


def beside_the_axis(raw):
    steps = {**raw.recipe["sinogram"], "rotation_axis": 0.5 * raw.scan.step_um}
    return replace(raw, recipe={**raw.recipe, "sinogram": steps})


def images(change):
    return given(lambda maps: replace(maps, **{name: change(getattr(maps, name)) for name in ALL}))


def halved_variance(maps):
    return replace(
        maps, a_esd_noise_A=maps.a_esd_noise_A / np.sqrt(2.0),
        a_esd_total_A=maps.a_esd_total_A / np.sqrt(2.0),
    )  # fmt: skip


BROKEN = {
    "rotation_sign": (rotation_equivariance, seen(other_way_round)),
    "axis": (rotation_equivariance, seen(beside_the_axis)),
    "mirrored": (rotation_equivariance, images(lambda image: image[:, ::-1])),
    "transposed": (translation_equivariance, images(np.transpose)),
    "monitor": (flux_scaling, seen(unmonitored)),
    "polarisation": (detector_turn, seen(polarised)),
    "lattice_scale": (
        planted_lattice_shift, given(lambda maps: replace(maps, a_A=maps.a_A * (1.0 + 1e-4)))
    ),
    "esd_small": (uncertainty_coverage, given(halved_variance)),
    "degrees": (
        planted_lattice_shift, given(lambda maps: replace(maps, a_A=maps.a_A * 180.0 / np.pi))
    ),
}  # fmt: skip


def test_none_is_left_out():
    assert {*BROKEN, "trim"} == set(PLANTED)


@pytest.mark.parametrize(
    ("law", "pipeline"),
    [
        pytest.param(*broken, id=name, marks=[] if name == "polarisation" else [pytest.mark.slow])
        for name, broken in BROKEN.items()
    ],
)
def test_a_planted_mistake_breaks_its_law(law, pipeline):
    with pytest.raises(PropertyError, match=f"^{law.__name__}: "):
        law(pipeline)


def test_the_detector_may_be_turned():
    # What tells polarisation apart must not be told of a right chain; false alarm 1e-7.
    detector_turn(own_pipeline, seed=5)


def test_swapped_trimming_breaks_its_law(monkeypatch):
    right = Integration.trimmed_fractions.fget
    monkeypatch.setattr(Integration, "trimmed_fractions", property(lambda self: right(self)[::-1]))
    with pytest.raises(PropertyError, match=r"^trimmed_rings: .* is due"):
        trimmed_rings(own_pipeline)


def test_right_trimming_keeps_its_law_and_patterns_are_not_asked():
    trimmed_rings(own_pipeline, seed=6)

    def unasked(_raw, _others):
        raise AssertionError("patterns have no pixels to trim")

    from validation.properties.subjects import pair

    trimmed_rings(unasked, experiment=pair())
