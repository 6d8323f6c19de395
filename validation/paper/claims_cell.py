"""Claims of figure 1 f and of Methods that follow from the study's own numbers, by arithmetic.

Nothing is measured here: *recovered* is what follows from the parts that the study states, *truth*
the number that it states itself.
"""

from __future__ import annotations

from phantoms.coating import disc_capacity_mAh
from validation.paper.claims import Claim
from validation.paper.drawing import Study
from xrdct.conversion import wavelength_A
from xrdct.scan import SCAN_PRESETS

_AREAL_G_PER_M2, _SPECIFIC_MAH_PER_G = 166.0, 110.0
_DISC_UM = 1000.0
_POUCH_MM, _POUCH_MAH = (44.0, 54.0), 45.0
_NOTE = "arithmetic: from the study's own numbers; truth is the number it states"


def discharge_claims(_: Study) -> list[Claim]:
    """Return whether the operando cell's capacity and currents agree (figure 1)."""
    disc_mAh = disc_capacity_mAh(
        areal_g_per_m2=_AREAL_G_PER_M2, diameter_um=_DISC_UM,
        specific_mAh_per_g=_SPECIFIC_MAH_PER_G,
    )  # fmt: skip
    return [
        _stated("1f", "Capacity of the disc of 1 mm", "0.0143 mAh", disc_mAh, 0.0143, 5e-5, "mAh",
                digits=5),
        _stated("1f", "Hours of the discharge at 8 µA", "C/1.8", disc_mAh / 8e-3, 1.8, 0.05, "h"),
        _stated("1f", "Hours of the charge before it, at 4 µA", "C/3.6", disc_mAh / 4e-3, 3.6,
                0.05, "h"),
        _stated("1g", "Wavelength of 50 keV", "0.2480 Å", wavelength_A(50.0), 0.2480, 5e-5, "Å",
                digits=5),
    ]  # fmt: skip


def slice_claims(_: Study) -> list[Claim]:
    """Return whether slices and volume are as wide as their points (figure 2)."""
    window, volume = SCAN_PRESETS["roi"], SCAN_PRESETS["volume"]
    return [
        _stated("2a", "Width of the slices, points times step", "301 µm",
                window.n_offsets * window.step_um, 301.0, 1.0, "µm", digits=0),
        _stated("2a", "Width of the volume, points times step", "202 µm",
                volume.n_offsets * volume.step_um, 202.0, 1.0, "µm", digits=0),
    ]  # fmt: skip


def cell_claims(_: Study) -> list[Claim]:
    """Return whether the pouch cell's capacity and currents agree (figure 6)."""
    width_mm, height_mm = _POUCH_MM
    pouch_mAh = _AREAL_G_PER_M2 * width_mm * height_mm * 1e-6 * _SPECIFIC_MAH_PER_G
    return [
        _stated("6a", "Capacity of the pouch cell of 44 × 54 mm", "ca. 45 mAh", pouch_mAh,
                _POUCH_MAH, 0.5, "mAh", digits=1),
        _stated("6a", "Hours of a discharge at 1.12 mA", "C/4", _POUCH_MAH / 1.12, 4.0, 0.5, "h",
                digits=1),
        _stated("6a", "Hours of the formation at 4.5 mA", "C/10", _POUCH_MAH / 4.5, 10.0, 0.5, "h",
                digits=1),
    ]  # fmt: skip


def _stated(
    figure: str,
    claim: str,
    published: str,
    follows: float,
    stated: float,
    rounding: float,
    unit: str,
    *,
    digits: int = 2,
) -> Claim:
    return Claim(
        figure, claim, published, recovered=follows, truth=stated, needed=rounding, unit=unit,
        note=_NOTE, digits=digits,
    )  # fmt: skip
