"""Which claims belong to which figure beyond those that the drawing of it judges.

A figure's claims use the scans that it draws, so that one figure asks for no more than its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from validation.paper.claims import Claim
from validation.paper.claims_cell import cell_claims, discharge_claims, slice_claims
from validation.paper.claims_degraded import degraded_claims
from validation.paper.claims_depth_coordinate import depth_claims
from validation.paper.claims_errors import error_claims
from validation.paper.claims_gradient import gradient_claims
from validation.paper.claims_lithium import lithium_claims
from validation.paper.claims_map import map_claims
from validation.paper.claims_persistence import persistence_claims
from validation.paper.claims_phases import phase_claims
from validation.paper.claims_planes import plane_claims
from validation.paper.claims_point import point_claims
from validation.paper.claims_segregation import segregation_claims
from validation.paper.claims_spread import degraded_spread_claims, spread_claims, within_claims
from validation.paper.claims_strain import strain_claims
from validation.paper.claims_window import window_claims
from validation.paper.drawing import Drawn, Study

Asked = Callable[[Study], Sequence[Claim]]

CLAIMS: Mapping[int, tuple[Asked, ...]] = {
    1: (discharge_claims, point_claims),
    2: (
        slice_claims, map_claims, error_claims, lithium_claims, spread_claims, persistence_claims,
        plane_claims,
    ),
    3: (window_claims, within_claims),
    4: (gradient_claims, depth_claims),
    5: (phase_claims, strain_claims),
    6: (cell_claims, degraded_spread_claims, segregation_claims, degraded_claims),
}  # fmt: skip


def with_claims(drawn: Callable[[Study], Drawn], number: int) -> Callable[[Study], Drawn]:
    """Return what draws figure ``number`` and judges all of its claims."""

    def of(study: Study) -> Drawn:
        figure = drawn(study)
        further = [claim for asked in CLAIMS[number] for claim in asked(study)]
        return replace(figure, claims=(*figure.claims, *further))

    return of
