"""Draw which of the study's phases can be told apart, and how little of each can be detected.

The counts are those of `examples/roi.toml` without what lies outside: a window of 351 µm in a 1 mm
electrode, 350 projections, 1e11 photons/s. Its noise is propagated through filtered back projection
to one voxel; a region is a particle of 20 µm, whose voxels' noise is correlated: the variance of
its mean is measured on reconstructed white noise. The phases are those of the study's degraded and
lithiated particles. Every figure is a lower limit: patterns are known but for what is refined.
Writes docs/degeneracy.png and docs/detection_limits.png, and prints the numbers as Markdown. Run
from the checkout (two minutes):

    python -m benchmarks.degeneracy
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inverse.degeneracy import Degeneracy, Design, degeneracy, design_at
from inverse.degeneracy_sweep import HostSweep, host_sweep
from inverse.detection_limit import DetectionLimits, detection_limits
from inverse.geometry import pixel_positions
from inverse.model import Instrument, draw_patterns, lattice_lines
from inverse.phase_decision_scan import path_of
from inverse.recipe import Calibration, Recipe
from inverse.reconstruct import filtered_back_projection
from inverse.rietveld_model import rietveld_model
from inverse.rietveld_recipe import Rietveld, RietveldPhase
from inverse.sinogram import Sinogram, sinogram_of
from validation.experiment import load_experiment
from validation.figures_style import FONT_PT, new_figure, png, titled
from validation.steps import simulate
from xrdct.crystal import load_crystal
from xrdct.instrument import Beam, Geometry

Floats = NDArray[np.float64]

EXPERIMENT = Path(__file__).parent.parent / "examples" / "roi.toml"
DOCS = Path(__file__).parent.parent / "docs"
HOST = "LiMn2O4"
WEIGHTS = {HOST: 0.65, "Li2MnO3": 0.04, "LiMnO2-rocksalt": 0.20, "Li0.5Mn2O4": 0.10}
"""Of the study, as mass fractions; volume fractions in a voxel full of them follow."""
NAMES = {
    HOST: "spinel\nLi$_x$Mn$_2$O$_4$",
    "Li2MnO3": "Li$_2$MnO$_3$",
    "LiMnO2-rocksalt": "rock salt\nLiMnO$_2$",
    "Li0.5Mn2O4": "P2$_1$3\nLi$_{0.5}$Mn$_2$O$_4$",
}
SHORT = {
    HOST: "spinel",
    "Li2MnO3": "Li$_2$MnO$_3$",
    "LiMnO2-rocksalt": "rock salt",
    "Li0.5Mn2O4": "P2$_1$3",
}
HOST_A = 8.205
MARKED_A = (8.076, 8.205, 8.245)
SWEPT_A = np.unique(
    np.concatenate([np.linspace(8.03, 8.27, 121), MARKED_A, 8.1529 + np.linspace(-0.01, 0.01, 21)])
)
STRAIN = 5e-4
RADIUS_UM = 10.0
SEARCHED = 0.01
"""Relative range of cells, to either side, where they are searched for."""
N_NOISES = 256
FALSE_ALARM, POWER = 1e-3, 0.95


@dataclass(frozen=True, eq=False)
class Counts:
    """The noise of the patterns of one voxel and of a region, and their instrument."""

    beam: Beam
    geometry: Geometry
    calibration: Calibration
    voxel: Floats
    """Variance, (channel,); NaN where nothing is measured."""
    region: Floats
    n_voxels: int


def counts() -> Counts:
    """Return the noise of the middle of the window."""
    experiment = load_experiment(EXPERIMENT).model_copy(update={"scans": {}})
    raw = simulate(experiment).raw
    calibration = Recipe.model_validate(raw.recipe).calibration
    if calibration is None:
        raise RuntimeError("a simulated scan carries its calibration")
    lines = sinogram_of(raw, distance_m=calibration.distance_m)
    across = pixel_positions(raw.scan.n_offsets) * raw.scan.step_um
    mask = np.hypot(across[:, None], across) <= RADIUS_UM
    made = filtered_back_projection(
        lines.values, variance=lines.variance, angles_rad=lines.angles_rad, step_um=lines.step_um,
        mask=mask,
    )  # fmt: skip
    if made.variance is None:
        raise RuntimeError("a variance was asked for")
    voxel = made.variance[mask].mean(axis=0, dtype=np.float64)
    share = variance_of_mean(lines, mask)
    return Counts(
        beam=experiment.beam, geometry=raw.geometry, calibration=calibration, voxel=voxel,
        region=share * voxel, n_voxels=int(mask.sum()),
    )  # fmt: skip


def variance_of_mean(lines: Sinogram, mask: NDArray[np.bool_]) -> float:
    """Return the variance of a region's mean over that of one of its voxels."""
    spread = np.sqrt(np.nanmean(lines.variance, axis=2, keepdims=True))
    shape = (*lines.values.shape[:2], N_NOISES)
    noise = np.random.default_rng(1).normal(size=shape).astype(np.float32) * spread
    image = filtered_back_projection(
        noise, angles_rad=lines.angles_rad, step_um=lines.step_um, mask=mask
    )
    voxels = image.values[mask].astype(np.float64)
    return float(np.mean(voxels.mean(axis=0) ** 2) / np.mean(voxels**2))


def amounts() -> dict[str, float]:
    """Return volume fractions of the study's phases that fill a voxel."""
    volume = {name: w / load_crystal(name).density_g_per_cm3 for name, w in WEIGHTS.items()}
    return {name: v / sum(volume.values()) for name, v in volume.items()}


def refinement(*names: str, cells: bool = True, widths: bool = False) -> Rietveld:
    """Return a refinement of phases: the host's cell is free, the others' cells if asked."""
    phases = tuple(
        RietveldPhase(
            crystal=name,
            cell="voxel" if cells or name == HOST else "fixed",
            cell_start=HOST_A / 8.245 if name == HOST else 1.0,
            strain="voxel" if widths else "fixed",
            strain_value=STRAIN,
            b_iso="voxel" if widths else "fixed",
        )
        for name in names
    )
    return Rietveld(phases=phases, n_background=5)


def sweep(noise: Counts, other: str, *, widths: bool) -> HostSweep:
    """Return how well a phase is told from the spinel, over the spinel's lattice parameter."""
    return host_sweep(
        refinement(HOST, other, widths=widths), host=HOST, a_A=SWEPT_A,
        amounts=amounts(), variance_of=lambda _: noise.voxel, beam=noise.beam,
        geometry=noise.geometry, calibration=noise.calibration,
    )  # fmt: skip


def all_phases(noise: Counts, *, cells: bool) -> Design:
    """Return the design of a refinement of all of the study's phases."""
    model = rietveld_model(
        refinement(*WEIGHTS, cells=cells), beam=noise.beam, geometry=noise.geometry,
        calibration=noise.calibration,
    )  # fmt: skip
    return design_at(model, amounts())


def limits(noise: Counts, *, variance: Floats, cells: bool, searched: bool) -> DetectionLimits:
    """Return the detection limits of all phases."""
    pattern = all_phases(noise, cells=cells)
    paths = {name: path(noise, pattern, name, variance) for name in WEIGHTS} if searched else None
    return detection_limits(
        pattern, variance=variance, amounts=amounts(), false_alarm=FALSE_ALARM, power=POWER,
        densities_g_per_cm3={n: load_crystal(n).density_g_per_cm3 for n in WEIGHTS},
        path_rad=paths,
    )  # fmt: skip


def path(noise: Counts, pattern: Design, name: str, variance: Floats) -> float:
    """Return the path of a phase's patterns over the cells that are searched."""
    crystal = load_crystal(name).scaled(HOST_A / 8.245 if name == HOST else 1.0)
    factors = 1.0 + SEARCHED * np.linspace(-1.0, 1.0, 201)
    templates = draw_patterns(
        lattice_lines(
            crystal, crystal.cell_A_deg[0] * factors, beam=noise.beam, geometry=noise.geometry
        ),
        instrument=Instrument(noise.beam, noise.geometry, noise.calibration),
        crystallite_size_nm=200.0, strain=STRAIN,
    )  # fmt: skip
    columns = pattern.without(pattern.of_phase(name)).rows
    return path_of(templates, columns=columns, variance=variance)


# --- figures -------------------------------------------------------------------------------------

STYLES = {False: ("black", "-", "cells refined"), True: ("0.5", "--", "strain and B$_{iso}$ too")}


def draw_sweep(axes: Axes, sweeps: dict[bool, HostSweep], title: str) -> None:
    """Draw by which factor all that is refined makes an amount less certain."""
    top = 3.2
    for widths, of in sweeps.items():
        colour, line, label = STYLES[widths]
        inflated = np.sqrt(of.inflation[:, 1])
        axes.semilogy(of.a_A, inflated, color=colour, linestyle=line, label=label)
        top = max(top, 1.3 * inflated.max())
    for a in MARKED_A:
        axes.axvline(a, color="0.75", linewidth=0.8, zorder=0)
    axes.set_ylim(0.93, top)
    axes.set_xlim(8.03, 8.27)
    ticks = [t for t in (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0) if t < top]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    titled(axes, title, x="a of the spinel (Å)", y="factor on the amount's uncertainty")
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])


def draw_correlations(axes: Axes, found: Degeneracy) -> None:
    """Draw the correlations of scales and lengths of cells as a table in grey."""
    shown = [i for i, name in enumerate(found.names) if name.endswith((".scale", "_A"))]
    labels = [
        f"{SHORT[phase]} {'amount' if parameter == 'scale' else parameter[0]}"
        for phase, _, parameter in (found.names[i].rpartition(".") for i in shown)
    ]
    values = found.correlation[np.ix_(shown, shown)]
    axes.imshow(np.abs(values), cmap="Greys", vmin=0.0, vmax=1.6)
    for row in range(len(shown)):
        for column in range(row):
            text = f"{values[row, column]:+.2f}".replace("0.", ".").replace("-", "−")
            text = text if abs(values[row, column]) >= 0.005 else "0"
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_title(f"correlations, spinel at {HOST_A:g} Å", fontsize=FONT_PT + 1)


def degeneracy_figure(sweeps: dict[str, dict[bool, HostSweep]], found: Degeneracy) -> Figure:
    """Return three sweeps and the correlations of all phases."""
    figure = new_figure(11.0, 9.0)
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.13, top=0.96, wspace=0.32, hspace=0.3)
    panels = figure.subplots(2, 2)
    titles = {
        "LiMnO2-rocksalt": "rock salt under the spinel",
        "Li2MnO3": "Li$_2$MnO$_3$ beside the spinel",
        "Li0.5Mn2O4": "P2$_1$3 of 8.153 Å against the spinel",
    }
    for axes, (name, of) in zip(panels.flat[:3], sweeps.items(), strict=True):
        draw_sweep(axes, of, titles[name])
    panels[0, 0].legend(framealpha=1.0, edgecolor="white", fontsize=FONT_PT, loc="center left")
    draw_correlations(panels[1, 1], found)
    return figure


def limits_figure(noise: Counts, found: dict[tuple[str, bool], DetectionLimits]) -> Figure:
    """Return the limits of all phases in a voxel and a region, and the study's amounts."""
    figure = new_figure(7.6, 3.9, left_in=1.35)
    axes = figure.subplots()
    marks = {
        ("voxel", False): ("o", "none", "one voxel, cell known"),
        ("voxel", True): ("o", "black", "one voxel, cell searched"),
        ("region", False): ("s", "none", f"{noise.n_voxels} voxels, cell known"),
        ("region", True): ("s", "black", f"{noise.n_voxels} voxels, cell searched"),
    }
    places = np.arange(len(WEIGHTS))
    for offset, (key, (marker, fill, label)) in zip((-0.24, -0.08, 0.08, 0.24), marks.items(),
                                                    strict=True):  # fmt: skip
        percent = 100.0 * found[key].weight_fraction[0]
        axes.semilogx(
            percent, places + offset, linestyle="none", marker=marker, markerfacecolor=fill,
            markeredgecolor="black", label=label,
        )  # fmt: skip
    for place, weight in zip(places, WEIGHTS.values(), strict=True):
        axes.plot([100.0 * weight] * 2, [place - 0.4, place + 0.4], color="0.55", linewidth=3.0)
    axes.plot([], [], color="0.55", linewidth=3.0, label="in the study")
    axes.set_yticks(places, [NAMES[name] for name in WEIGHTS])
    axes.set_ylim(len(WEIGHTS) - 0.5, -0.5)
    axes.set_xlim(0.02, 100.0)
    titled(
        axes, "Counting noise alone: detected with 95 %, false alarm 0.1 %",
        x="weight fraction (%)", y="",
    )  # fmt: skip
    axes.set_xticks([0.1, 1.0, 10.0, 100.0], ["0.1", "1", "10", "100"])
    axes.grid(axis="x", color="0.88", zorder=0)
    axes.legend(frameon=False, fontsize=FONT_PT - 1, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.subplots_adjust(right=0.68)
    return figure


def print_table(noise: Counts, found: dict[tuple[str, bool], DetectionLimits]) -> None:
    """Print the limits as Markdown."""
    print(f"| phase | study, wt % | voxel | voxel, searched | {noise.n_voxels} voxels | searched |")
    print("|---|---|---|---|---|---|")
    for p, (name, weight) in enumerate(WEIGHTS.items()):
        cells = [f"{100.0 * one.weight_fraction[0, p]:.3f}" for one in found.values()]
        print(f"| {name} | {100 * weight:.0f} | {' | '.join(cells)} |")


def print_sweeps(sweeps: dict[str, dict[bool, HostSweep]]) -> None:
    """Print correlations and factors where the study's lattice parameters are."""
    print("\n| phase | a, Å | refined | correlation | factor on its esd | of which the spinel's |")
    print("|---|---|---|---|---|---|")
    for name, both in sweeps.items():
        for widths, of in both.items():
            for a in (*MARKED_A, 8.1529):
                at = int(np.argmin(np.abs(of.a_A - a)))
                whole, by_host = np.sqrt([of.inflation[at, 1], of.inflation_by_host[at, 1]])
                print(
                    f"| {name} | {of.a_A[at]:.4f} | {'cells, widths' if widths else 'cells'} | "
                    f"{of.correlation[at, 1]:+.3f} | {whole:.2f} | {by_host:.2f} |"
                )


def main() -> None:
    """Write both figures and print the numbers."""
    noise = counts()
    ratio = np.nanmean(noise.region / noise.voxel) * noise.n_voxels
    print(f"variance of the region's mean: {ratio:.3f} of that of independent voxels\n")
    found = {
        (name, searched): limits(
            noise, variance=variance, cells=name == "region", searched=searched
        )
        for name, variance in (("voxel", noise.voxel), ("region", noise.region))
        for searched in (False, True)
    }
    print_table(noise, found)
    sweeps = {
        name: {widths: sweep(noise, name, widths=widths) for widths in (False, True)}
        for name in ("LiMnO2-rocksalt", "Li2MnO3", "Li0.5Mn2O4")
    }
    print_sweeps(sweeps)
    correlations = degeneracy(all_phases(noise, cells=True), variance=noise.voxel)
    (DOCS / "degeneracy.png").write_bytes(png(degeneracy_figure(sweeps, correlations)))
    (DOCS / "detection_limits.png").write_bytes(png(limits_figure(noise, found)))


if __name__ == "__main__":
    main()
