"""The switches of the forward model as factors: which are in force, and what would remove them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from forward.flux import BeamDecay
from forward.motion import Motion
from forward.settings import Effects
from phantoms.library import Electrode
from validation.budget.factors import Factor, Skipped
from validation.experiment import Experiment, ParticleList

_BRIGHTER = 100.0
"""Times more photons leave a hundredth of the mean square error of counting."""
_ALSO = {
    "noise": " (as many crystallites, if countable, then reflect as on average)",
    "beam_size": "; voxels are then thin slices, and more of them are interior",
    "sensor_parallax": ", and integration.sensor_parallax = false",
}
"""What else the switch changes."""


class _Effect(NamedTuple):
    switch: str
    name: str
    absent: Callable[[Experiment], str]
    """Why it has no strength in an experiment; empty where it has."""
    remedy: str
    needs: tuple[str, ...] = ()


def effects(experiment: Experiment) -> Iterator[Factor | Skipped]:
    """Yield every effect as a factor, or why it is none."""
    unknown = set(Effects.model_fields) - {effect.switch for effect in _EFFECTS}
    if unknown:  # an effect was added to the forward model and is forgotten here
        raise NotImplementedError(f"no remedy is known for the effects {sorted(unknown)}")
    for effect in _EFFECTS:
        on = getattr(experiment.effects, effect.switch)
        reason = effect.absent(experiment) if on else "switched off in the experiment"
        if reason:
            yield Skipped(effect.name, reason)
            continue
        if effect.switch == "noise" and experiment.mode == "patterns" and not _grains(experiment):
            yield _photons(effect)
            continue
        yield Factor(
            key=f"effects.{effect.switch}",
            name=effect.name,
            kind="effect",
            off=_Off(effect.switch),
            how=f"effects.{effect.switch} = false{_ALSO.get(effect.switch, '')}",
            remedy=effect.remedy,
            needs=effect.needs,
        )


def _photons(effect: _Effect) -> Factor:
    """Return the noise of counting where crystallites are counted as well.

    Without `effects.noise` as many of them reflect as on average: what they cost would be put down
    to the photons.
    """
    return Factor(
        key="beam.flux_per_s",
        name=effect.name,
        kind="effect",
        off=_brighter,
        how=f"beam.flux_per_s times {_BRIGHTER:g}",
        remedy=effect.remedy,
    )


def _brighter(experiment: Experiment) -> Experiment:
    beam = experiment.beam.model_copy(update={"flux_per_s": _BRIGHTER * experiment.beam.flux_per_s})
    return experiment.model_copy(update={"beam": beam})


class _Off:
    """Switches one effect off."""

    def __init__(self, switch: str) -> None:
        self._switch = switch

    def __call__(self, experiment: Experiment) -> Experiment:
        off = experiment.effects.model_copy(update={self._switch: False})
        changed = experiment.model_copy(update={"effects": off})
        if self._switch != "sensor_parallax":
            return changed
        # The analysis would else correct what is not there.
        integration = changed.recipe.integration.model_copy(update={"sensor_parallax": False})
        recipe = changed.recipe.model_copy(update={"integration": integration})
        return changed.model_copy(update={"recipe": recipe})


def _always(_experiment: Experiment) -> str:
    return ""


def _frames_only(experiment: Experiment) -> str:
    return "" if experiment.mode == "frames" else "in frames only (mode = 'frames')"


def _tails(experiment: Experiment) -> str:
    return "" if experiment.unknowns.tail_fraction[1] > 0.0 else "the beam has no tails"


def _exit_path(experiment: Experiment) -> str:
    return "" if experiment.effects.attenuation else "nothing is absorbed"


def _cell(experiment: Experiment) -> str:
    return "no cell" if experiment.cell is None else ""


def _grains(experiment: Experiment) -> str:
    sample = experiment.sample
    if isinstance(sample, ParticleList):
        countable = any(particle.grain_um is not None for particle in sample.particles)
    else:
        countable = isinstance(sample, Electrode) and sample.grain_um is not None
    if countable and not experiment.effects.grains:
        return "switched off in the experiment"
    return "" if countable else "no particle has a grain_um: crystallites are too many to count"


def _motion(experiment: Experiment) -> str:
    return "the stages are perfect" if experiment.motion == Motion() else ""


def _flux(experiment: Experiment) -> str:
    return "the beam is constant and known" if experiment.flux == BeamDecay() else ""


def _operando(experiment: Experiment) -> str:
    return "" if experiment.operando.filled_change_per_h else "no current flows"


def _flat(experiment: Experiment) -> str:
    faults = experiment.faults
    uneven = faults.flat_rms > 0.0 or faults.flat_residual_rms > 0.0
    return _frames_only(experiment) or ("" if uneven else "all pixels respond alike")


def _bad_pixels(experiment: Experiment) -> str:
    faults = experiment.faults
    some = faults.n_known_dead + faults.n_unknown_dead + faults.n_hot > 0
    return _frames_only(experiment) or ("" if some else "no pixel is dead or hot")


def _zingers(experiment: Experiment) -> str:
    some = experiment.faults.zinger_per_s > 0.0
    return _frames_only(experiment) or ("" if some else "no stray particles")


_EFFECTS = (
    _Effect(
        "noise", "counting statistics", _always,
        "Longer exposures, more flux or more angles: the mean square error falls as one over the "
        "photons.",
    ),
    _Effect(
        "beam_size", "size of the beam", _always,
        "A beam (and steps) narrower than the gradients, or the beam in the model of the "
        "reconstruction (method = 'direct').",
    ),
    _Effect(
        "beam_tails", "tails of the beam", _tails,
        "Guard slits close to the sample, or optics with less scatter.",
    ),
    _Effect(
        "parallax", "parallax of the sample", _always,
        "A scan of 360°, a detector further away, or parallax in the model (method = 'direct').",
    ),
    _Effect(
        "attenuation", "absorption along the ray", _always,
        "It is divided out by the measured transmission; what is left falls with a higher photon "
        "energy or a thinner sample.",
    ),
    _Effect(
        "exit_path", "another way out for scattered photons", _exit_path,
        "sinogram.absorption = true with a scan that sees the whole sample, or a higher photon "
        "energy.", ("effects.attenuation",),
    ),
    _Effect(
        "diffuse", "diffuse scattering, and air", _always,
        "A beamstop and a tube close to the sample or helium in the flight path, and "
        "truncation.air = true.",
    ),
    _Effect(
        "cell", "the cell around the sample", _cell,
        "A cell with thinner walls and less electrolyte, or truncation.container = true.",
    ),
    _Effect(
        "grains", "few crystallites that reflect", _grains,
        "Rock the sample during each exposure, take a larger or more divergent beam, or grind "
        "finer; no analysis brings it back.",
    ),
    _Effect(
        "motion", "errors of the stages", _motion,
        "Encoder positions and the axis found from the data (sinogram.regrid = true, "
        "rotation_axis = 'find'), or better stages.",
    ),
    _Effect(
        "flux", "a beam that varies, noise of the monitor", _flux,
        "A monitor that counts a larger share of the photons, and top-up of the ring.",
    ),
    _Effect(
        "operando", "a sample that changes", _operando,
        "A faster or an interlaced scan, or a smaller current.",
    ),
    _Effect(
        "sensor_parallax", "depth of the sensor", _always,
        "integration.sensor_parallax = true corrects the shift of rings; the blur takes a thinner "
        "sensor or a detector further away.",
    ),
    _Effect(
        "charge_sharing", "charge shared by pixels", _frames_only,
        "A threshold at half the photon energy, above the fluorescence of the sensor.",
    ),
    _Effect(
        "dead_time", "dead time of the pixels", _frames_only,
        "A filter in the beam where spots are brightest, or a rate correction with the true dead "
        "time.",
    ),
    _Effect(
        "flat_field", "pixels of unequal response", _flat,
        "A flat field measured at the energy of the experiment, with more counts.",
    ),
    _Effect(
        "bad_pixels", "dead and hot pixels", _bad_pixels,
        "A mask of today's dead and hot pixels.",
    ),
    _Effect(
        "zingers", "tracks of cosmic rays", _zingers,
        "integration.method = 'sigma_clip', or sinogram.zingers_sigma = 6.",
    ),
)  # fmt: skip
