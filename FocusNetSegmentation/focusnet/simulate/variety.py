"""How far simulated scans may differ from one another: one frozen record, so that each trick can be left out and its worth measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

Range = tuple[float, float]


@dataclass(frozen=True)
class Variety:
    """Ranges and probabilities of everything that is drawn anew for each variant. Lengths in mm, angles in degrees.

    Domain randomisation as in SynthSeg (Billot et al., Medical Image Analysis 86, 2023): wider than any scanner and any head, so that a
    real scan lies inside. ``Variety.none()`` changes nothing but the grid and the slices' thickness.
    """

    # the head
    pitch: float = 25.0  # chin up or down
    turn: float = 12.0  # about the other two axes
    scale: Range = (0.85, 1.18)
    stretch: float = 0.06  # of each axis by itself
    mirror: bool = True
    bend_mm: float = 4.0  # elastic: standard deviation of the coarse field at 40 mm grain; a tenth as much at 12 mm
    gaze: float = 25.0  # of each eye; both look about the same way
    mouth: float = 0.3  # probability that it is open
    tumour: float = 0.15  # probability of a mass that pushes its surroundings away
    # tissues
    hu_curve: float = 1.0  # 0: HU as painted; 1: soft tissues off by up to some 25 HU, bone by a quarter
    organ_hu: float = 12.0  # of each labelled organ by itself, SD
    texture_hu: float = 8.0  # smooth, in soft tissue, up to
    cavity_fluid: float = 0.5  # probability that some sinuses or air cells are filled
    # what lies around the head
    mask: float = 0.35
    rest: float = 0.6
    couch: float = 0.5  # probability of its top behind the head
    cut: float = 0.3  # probability that the field of view ends within the crop
    # the scanner
    kernel_mm: Range = (0.0, 1.3)  # sigma of its blur
    sharpen: float = 0.35  # probability of a bone kernel
    noise_hu: Range = (1.0, 35.0)
    slice_mm: Range = (0.75, 5.0)
    rings: float = 0.1
    streaks: float = 0.35
    shading_hu: float = 12.0  # beam hardening, scatter: slow changes of HU

    @classmethod
    def ordinary(cls) -> Variety:
        """Return how little good scans of one clinic differ: as painted, 3 mm slices, a soft kernel and its noise."""
        return replace(cls.none(), kernel_mm=(0.55, 0.85), noise_hu=(8, 15), slice_mm=(3.0, 3.0))

    @classmethod
    def mild(cls) -> Variety:
        """Return about half of everything: what a young network learns faster from."""
        return cls(
            pitch=15, turn=8, scale=(0.9, 1.12), stretch=0.04, bend_mm=2.5, gaze=20, mouth=0.2, tumour=0.08, hu_curve=0.6, organ_hu=8, texture_hu=5,
            cavity_fluid=0.35, mask=0.3, rest=0.5, couch=0.4, cut=0.12, kernel_mm=(0.3, 1.0), sharpen=0.25, noise_hu=(2, 20), slice_mm=(1.0, 4.0), rings=0.05,
            streaks=0.15, shading_hu=8,
        )  # fmt: skip

    @classmethod
    def none(cls) -> Variety:
        """Return no variety at all: what was painted, in slices of 1.5 mm."""
        return cls(
            pitch=0, turn=0, scale=(1, 1), stretch=0, mirror=False, bend_mm=0, gaze=0, mouth=0, tumour=0, hu_curve=0, organ_hu=0, texture_hu=0,
            cavity_fluid=0, mask=0, rest=0, couch=0, cut=0, kernel_mm=(0.6, 0.6), sharpen=0, noise_hu=(0, 0), slice_mm=(1.5, 1.5), rings=0,
            streaks=0, shading_hu=0,
        )  # fmt: skip
