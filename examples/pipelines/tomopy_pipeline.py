r"""tomopy's gridrec in the place of scikit-image's iradon; the rest as in `per_peak.py`.

    xrdct-twin score examples/pipelines/tomopy_pipeline.py:recover \
        examples/particle.toml -o out/score

tomopy comes from conda-forge only: `conda install -c conda-forge tomopy`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import per_peak

MISSING = "tomopy is not installed here: `conda install -c conda-forge tomopy` brings it"


def recover(scan: Path) -> dict[str, np.ndarray]:
    """Return a_A, a_esd_A and the amount relative to full voxels, each [y, x]."""
    try:
        import tomopy
    except ImportError as error:
        sys.exit(f"{MISSING} ({error})")

    def reconstruct(sinogram: np.ndarray, angles_deg: np.ndarray) -> np.ndarray:
        """Return images (iy, ix, channel); tomopy's rows run against y."""
        n_offsets = sinogram.shape[1]
        width = n_offsets + n_offsets % 2  # an even grid has the axis on the pixel after its middle
        images = tomopy.recon(
            np.ascontiguousarray(np.moveaxis(sinogram, 2, 0), dtype=np.float32),
            np.deg2rad(angles_deg),
            center=0.5 * (n_offsets - 1),
            sinogram_order=True,
            algorithm="gridrec",
            filter_name="ramlak",
            num_gridx=width,
            num_gridy=width,
        )
        turned = np.asarray(images, dtype=float)[:, ::-1][:, width - n_offsets :]
        kept = np.moveaxis(turned[:, :, width - n_offsets :], 0, 2)
        place = np.arange(n_offsets) - 0.5 * (n_offsets - 1)
        kept[np.hypot(place[:, None], place) > 0.5 * (n_offsets - 1)] = np.nan
        return kept

    return per_peak.recover(scan, reconstruct=reconstruct)
