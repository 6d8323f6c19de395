"""A small experiment that several test files take: one particle with a gradient."""

from phantoms.particle import Particle, RadialLaw
from validation.experiment import Experiment, ParticleList
from xrdct.instrument import Beam, Geometry
from xrdct.scan import Scan


def small(**changes):
    """A particle of 12 µm with a gradient, on few channels."""
    particle = Particle(
        centre_um=(2.0, 1.0, 0.0), diameter_um=12.0, x=RadialLaw(core=0.98, surface=0.90)
    )
    given = {
        "sample": ParticleList(particles=(particle,)),
        "scan": Scan(n_offsets=21, step_um=1.0, n_angles=48),
        "beam": Beam(flux_per_s=1e9),
        "geometry": Geometry(n_channels=400, two_theta_min_deg=2.5, two_theta_max_deg=9.0),
        "seed": 411,
    }
    return Experiment(**(given | changes))
