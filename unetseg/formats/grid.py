"""Voxels in a patient: how a volume lies as stored, how it was turned for the network, and back."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEEPEST = 30
"""Degrees by which a slice may lean off the axial plane."""
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """The voxels of a volume as stored: (I,J,K), the order of NIfTI; of DICOM columns, rows, slices.

    shape: (I,J,K).
    affine: (4,4), from the index of a voxel's middle to millimetres in RAS, as in NIfTI: right, front and head of
        the patient are positive.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """The stored axes that become slices, rows and columns (D,H,W) of axial slices: the nearest ones."""
        return tuple(axis for axis, _ in self._turn)  # type: ignore[return-value]

    @cached_property
    def flipped(self) -> tuple[bool, bool, bool]:
        """Whether slices, rows, columns run against the stored order: they run to head, back and left (LPS)."""
        return tuple(backwards for _, backwards in self._turn)  # type: ignore[return-value]

    @property
    def turned_shape(self) -> tuple[int, ...]:
        """(D,H,W)."""
        return tuple(self.shape[axis] for axis in self.axes)

    @cached_property
    def _turn(self) -> list[tuple[int, bool]]:
        steps = (LPS_FROM_RAS @ self.affine)[:3, :3] / self.spacing  # columns: unit vectors of I, J, K in LPS
        # the permutation that keeps most of the lengths, so that no axis is taken twice
        best = max(
            ((i, j, k) for i in range(3) for j in range(3) for k in range(3) if len({i, j, k}) == 3),
            key=lambda order: sum(abs(steps[world, axis]) for world, axis in zip((2, 1, 0), order, strict=True)),
        )
        return [(axis, bool(steps[world, axis] < 0)) for world, axis in zip((2, 1, 0), best, strict=True)]

    @cached_property
    def spacing(self) -> NDArray[np.float64]:
        """Millimetres from voxel to voxel along I, J, K."""
        lengths: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths

    @property
    def lean(self) -> float:
        """Degrees between the slices' plane and the axial one."""
        rows, columns = (self.affine[:3, axis] for axis in self.axes[1:])
        normal = np.cross(rows, columns)
        return math.degrees(math.acos(min(1.0, abs(normal[2]) / float(np.linalg.norm(normal)))))

    @property
    def sheared(self) -> bool:
        """Whether axes are not at right angles, as with a tilted gantry: some programs can't show that."""
        steps = self.affine[:3, :3] / self.spacing
        return bool(np.abs(steps.T @ steps - np.eye(3)).max() > 1e-3)

    @property
    def unit(self) -> tuple[str, float]:
        """("mL", the volume of a voxel)."""
        return "mL", abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    def apart(self, other: Grid) -> float:
        """How far voxels of two grids of one size lie apart once both are turned, in voxels: the farthest corner."""
        return float(np.linalg.norm(self._corners() - other._corners(), axis=1).max() / self.spacing.min())

    def _corners(self) -> NDArray[np.float64]:
        """Millimetres in RAS of the corner voxels (8,3), in the order of the turned array."""
        last = [self.shape[axis] - 1 for axis in self.axes]
        ends = [(end, 0) if backwards else (0, end) for end, backwards in zip(last, self.flipped, strict=True)]
        voxels = np.empty((8, 3))
        voxels[:, self.axes] = list(itertools.product(*ends))
        return voxels @ self.affine[:3, :3].T + self.affine[:3, 3]

    def turned(self, stored: NDArray[Any]) -> NDArray[Any]:
        """A stored array (I,J,K,...) as axial slices (D,H,W,...) that run as LPS says; a view, nothing is copied."""
        turned = np.moveaxis(stored, self.axes, (0, 1, 2))
        return turned[tuple(slice(None, None, -1 if backwards else 1) for backwards in self.flipped)]

    def stored(self, turned: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `turned`."""
        straight = turned[tuple(slice(None, None, -1 if backwards else 1) for backwards in self.flipped)]
        return np.moveaxis(straight, (0, 1, 2), self.axes)

    def description(self) -> str:
        """Spacing and orientation in words."""
        millimetres = " x ".join(f"{self.spacing[axis]:.3g}" for axis in (self.axes[2], self.axes[1], self.axes[0]))
        letters = "".join("RLAPIS"[2 * i + int(step > 0)] for i, step in self._main_directions())
        lean = f", {self.lean:.0f} degrees off axial" if self.lean >= 1 else ""
        return f"spacing {millimetres} mm, stored as {letters}{lean}"

    def _main_directions(self) -> list[tuple[int, float]]:
        lps = (LPS_FROM_RAS @ self.affine)[:3, :3]
        world = dict(zip(self.axes, (2, 1, 0), strict=True))
        # L and P are positive in LPS, S in both
        return [(world[axis], float(lps[world[axis], axis])) for axis in range(3)]
