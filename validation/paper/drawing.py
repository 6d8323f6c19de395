"""What a figure of the study comes out as, and the scans it may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from validation.paper.claims import Claim
from validation.paper.experiments import N_SCANS, Size, degraded, operando, volume_plane
from validation.paper.prepared import Sets, Slice


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure with what it is judged by."""

    figure: Figure
    caption: str
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, eq=False)
class Study:
    """All scans of one simulated study, made when they are asked for."""

    sets: Sets
    size: Size
    seed: int

    @property
    def integrations(self) -> dict[str, bool]:
        """Return the ways of integration that weight fractions are compared by: trimmed or not."""
        plain = {"plain mean": False}
        return plain if self.size.quick else {"trimmed 5/5": True} | plain

    def operando(self, scan: int, *, trimmed: bool = True) -> Slice:
        """Return a scan, 1 to 5, of the cell under discharge."""
        return self.sets.get(operando(scan, size=self.size, seed=self.seed, trimmed=trimmed))

    def all_operando(self, *, trimmed: bool = True) -> list[Slice]:
        """Return all scans of the cell under discharge."""
        of_scan = partial(self.operando, trimmed=trimmed)
        return [of_scan(scan) for scan in range(1, N_SCANS + 1)]

    def planes(self) -> list[Slice]:
        """Return the planes of the volume, from below."""
        return [
            self.sets.get(volume_plane(number, size=self.size, seed=self.seed))
            for number in range(self.size.planes)
        ]

    def degraded(self, *, trimmed: bool = True) -> Slice:
        """Return the scan of the degraded electrode."""
        return self.sets.get(degraded(size=self.size, seed=self.seed, trimmed=trimmed))
