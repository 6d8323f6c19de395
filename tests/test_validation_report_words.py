"""The report's sentences, against arithmetic by hand."""

from __future__ import annotations

from typing import Any

import pytest

from validation.report_words import duration, summary


def figures_of(**changes: Any) -> dict[str, Any]:
    return {
        "n_voxels": 2400, "n_not_recovered": 0, "n_two_lattices": 0, "bias_A": -1.2e-4,
        "rms_A": 1.541e-3, "robust_sigma_A": 1.3e-3, "p95_abs_A": 3.1e-3, "mean_z": -0.1,
        "std_z": 1.0, "std_z_noise": 4.0,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "bias of −0.120 mÅ and an RMS error of 1.541 mÅ"),
        ({}, "2\u202f400 interior voxels"),
        ({}, "agree with the scatter"),
        ({"std_z": 1.25}, "agree with the scatter"),
        ({"std_z": 0.8}, "agree with the scatter"),
        ({"std_z": 1.26}, "too small, by a factor of 1.26"),
        ({"std_z": 0.5}, "too large, by a factor of 2.00"),
        ({"std_z": 0.0}, "do not scatter at all"),
        ({"std_z": 3.0, "n_voxels": 49}, "too few to judge"),
        ({"mean_z": -2.0}, "2.00 stated uncertainties, towards smaller"),
        ({"mean_z": 0.5}, "0.50 stated uncertainties, towards larger"),
        ({"robust_sigma_A": 3e-4}, "minority of voxels that are far off"),
        ({"n_not_recovered": 600}, "600 interior voxels of 3\u202f000 (20 %) should"),
        ({"n_not_recovered": 1}, "1 interior voxel of 2\u202f401 (0.042 %) should have been"),
        ({"n_two_lattices": 1}, "1 interior voxel holds two lattices"),
    ],
)
def test_summary_tells_the_result(changes: dict[str, Any], said: str) -> None:
    """Truth: arithmetic by hand, and the limits 0.8 and 1.25 set for std_z."""
    text = " ".join(summary("LMO", {"interior": figures_of(**changes), "eroded": figures_of()}))
    assert said in text
    verdicts = ("agree with", "too small,", "too large", "too few")
    assert sum(verdict in text for verdict in verdicts) == 1


def test_summary_is_silent_on_what_is_not_there() -> None:
    """A run without trouble gets no sentence on trouble; nor one on eroded voxels without any."""
    none = {"n_voxels": 0, "n_not_recovered": 0, "n_two_lattices": 0}
    text = " ".join(summary("LMO", {"interior": figures_of(), "eroded": none}))
    for word in ("recovered and", "two lattices", "far off", "systematic", "Away"):
        assert word not in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.50 s"), (59.0, "59.00 s"), (90.0, "1.5 min"), (9000.0, "2.5 h")]
)
def test_durations(seconds: float, text: str) -> None:
    """Truth: 60 s to the minute, 60 min to the hour."""
    assert duration(seconds) == text
