"""Every decision about the networks as one frozen dataclass. Defaults are the preset ``paper``.

The differences between the paper and its released code are switches here, never branches elsewhere; docs/paper-vs-code.md
explains each. No torch at import.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..errors import DatasetError

ArchName = Literal["focusnetv2", "focusnetv1", "anatomynet", "deeplabv3plus"]
SosArch = Literal["two-block", "encoder-decoder"]
SolInputs = Literal["features", "features+scores"]
SosInputs = Literal["features+ct", "ct", "features"]
AaeOutput = Literal["sigmoid", "relu"]
PresetName = Literal["paper", "authors"]

# bundles from before there was a choice dilated along z, too
DILATION_BEFORE_THE_KEY = (2, 2, 2)

AUTHORS: dict[str, Any] = {
    "stem_kernel_zyx": (1, 3, 3),
    "aspp_growth": 32,
    "skip_conv": True,
    "heatmap_z_window": 1,
    "sos_arch": "encoder-decoder",
    "sos_inputs": "ct",
    "stride": 20,
}


@dataclass(frozen=True)
class Arch:
    """One of the systems that the paper compares (Tables 1 to 5). ``two_stage``: with SOL- and SOS-Net on top of S-Net. ``z_multiple`` and
    ``in_plane_multiple``: what sizes must divide by, None where that follows from ``down_samplings``."""

    two_stage: bool
    in_plane_multiple: int | None = None
    z_multiple: int | None = None


ARCHS: dict[str, Arch] = {  # one for each ArchName
    "focusnetv2": Arch(two_stage=True),
    "focusnetv1": Arch(two_stage=True),  # Gao et al. 2019: no shape autoencoder, each organ's ROI three times its size
    "anatomynet": Arch(two_stage=False, in_plane_multiple=2, z_multiple=2),  # Zhu et al. 2019
    "deeplabv3plus": Arch(two_stage=False, in_plane_multiple=16, z_multiple=4),  # Chen et al. 2018, in three dimensions
}


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the networks. ``organs`` are all classes in label order (1..C); ``small_organs`` those that SOL/SOS look for."""

    organs: tuple[str, ...]
    small_organs: tuple[str, ...] = ()
    arch: ArchName = "focusnetv2"  # bundles from before there was a choice have no such entry
    # S-Net, Table 10
    width: float = 1.0  # factor on every channel count of S-, SOL- and SOS-Net; 1.0 is the paper
    stem_kernel_zyx: tuple[int, int, int] = (3, 3, 3)
    down_samplings: int = 2  # 1..4, Table 6 rows d1..d4
    # of S-Net's two deepest blocks; the paper (section 3.1.1) leaves z alone: many small organs lie in a few slices
    dilation_zyx: tuple[int, int, int] = (1, 2, 2)
    aspp: bool = True  # Table 6 "+ASPP"
    aspp_growth: int = 64
    aspp_rates: tuple[int, ...] = (3, 6, 12, 18)
    skip_conv: bool = False
    # SOL-Net, section 3.1
    sol_width: float = 0.0  # of SOL-Net alone; 0: as ``width``. With 8 channels for 8 organs it mixes up left and right
    heatmap_sigma_voxels: float = 5.0
    heatmap_z_window: int = 0  # 0: full 3D Gaussian; n: cut to +-n slices as the released code does
    sol_inputs: SolInputs = (
        "features"  # "features+scores": S-Net's probabilities beside its features (not in the paper)
    )
    # the last layer's bias before training; -4.6 begins with 0.01 everywhere, as nearly empty maps are. None: drawn, as the paper's
    heatmap_bias: float | None = None
    # SOS-Net
    has_sos: bool = False  # bundles trained with the first two stages only have no SOS-Nets
    sos_arch: SosArch = "two-block"  # "encoder-decoder": the released code's
    sos_inputs: SosInputs = "features+ct"  # "features": Table 6 "no concat"; "ct": the released code's
    roi_size_zyx: tuple[int, int, int] = (8, 64, 64)
    # one for each of small_organs, instead of roi_size_zyx for all; training fills it in for focusnetv1
    roi_sizes_zyx: tuple[tuple[int, int, int], ...] = ()
    # small organs that may be longer than their ROI (oesophagus): above and below it, what S-Net drew stays. The paper has none
    long_organs: tuple[str, ...] = ()
    # shape autoencoder, Table 9
    aae_output: AaeOutput = "sigmoid"  # "relu": Table 9's
    aae_width: float = 1.0
    # data
    spacing_mm_zyx: tuple[float, float, float] = (3.0, 1.0, 1.0)
    crop_size_yx: tuple[int, int] = (240, 240)
    chunk_slices: int = 40
    segment_slices: int = 0  # of a chunk when a scan is segmented; 0: as chunk_slices, with which it was trained
    stride: int = 40  # of chunk_slices; smaller than chunk_slices: overlapping chunks, probabilities averaged
    hu_clip: tuple[float, float] = (-1024.0, 3071.0)
    hu_offset: float = 100.0
    hu_scale: float = 1000.0
    island_fraction: float = (
        0.0  # parts of an organ below this fraction of its largest part are removed; 0 (the paper): none
    )
    # organs that are one thick body with nothing of it below, the brain: of parts that only thin necks join the uppermost large one stays;
    # () (the paper): none
    uppermost_organs: tuple[str, ...] = ()
    location_threshold: float = 0.6  # the released code's: below it a small organ is reported as not found

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, list):
                inner = (tuple(v) if isinstance(v, list) else v for v in value)
                object.__setattr__(self, item.name, tuple(inner))
        self._check_choices()
        _require(len(self.organs) > 0, "organs", self.organs, "at least one organ")
        _require(len(set(self.organs)) == len(self.organs), "organs", self.organs, "each organ once")
        unknown = set(self.small_organs) - set(self.organs)
        _require(not unknown, "small_organs", ", ".join(sorted(unknown)), f"names among {', '.join(self.organs)}")
        unknown = set(self.uppermost_organs) - set(self.organs)
        _require(not unknown, "uppermost_organs", sorted(unknown), f"names among {', '.join(self.organs)}")
        not_small = set(self.long_organs) - set(self.small_organs)
        _require(not not_small, "long_organs", sorted(not_small), "a part of small_organs")
        _require(0 <= self.sol_width <= 4, "sol_width", self.sol_width, "0 (as width) to 4")
        _require(
            ARCHS[self.arch].two_stage or not (self.small_organs or self.has_sos),
            "small_organs",
            self.small_organs,
            f"none, because {self.arch} has no second stage for small organs",
        )
        _require(
            len(self.roi_sizes_zyx) in (0, len(self.small_organs)),
            "roi_sizes_zyx",
            self.roi_sizes_zyx,
            "one size for each small organ, or none",
        )
        _require(1 <= self.down_samplings <= 4, "down_samplings", self.down_samplings, "1, 2, 3 or 4")
        _require(
            len(self.dilation_zyx) == 3 and min(self.dilation_zyx) >= 1,
            "dilation_zyx",
            self.dilation_zyx,
            "three whole numbers of at least 1: z, y, x",
        )
        _require(0 < self.width <= 4, "width", self.width, "a factor above 0 and at most 4")
        _require(
            1 <= self.stride <= self.chunk_slices, "stride", self.stride, f"1 to chunk_slices ({self.chunk_slices})"
        )
        _require(self.segment_slices >= 0, "segment_slices", self.segment_slices, "0 (as chunk_slices) or more")
        _require(0 <= self.island_fraction < 1, "island_fraction", self.island_fraction, "0 to below 1")
        for key, sides in (("spacing_mm_zyx", self.spacing_mm_zyx), ("crop_size_yx", self.crop_size_yx)):
            _require(min(sides) > 0, key, sides, "numbers above 0")
        multiple = self.in_plane_multiple
        _require(
            all(n % multiple == 0 for n in self.crop_size_yx),
            "crop_size_yx",
            self.crop_size_yx,
            f"multiples of {multiple}",
        )

    def _check_choices(self) -> None:
        """Raise DatasetError where a field of a Literal type has another value."""
        for key, choices in choices_of(NetworkConfig).items():
            value = getattr(self, key)
            _require(value in choices, key, value, _or(choices))

    @property
    def in_plane_multiple(self) -> int:
        """In-plane sizes must divide by this to pass every down-sampling."""
        return ARCHS[self.arch].in_plane_multiple or int(2**self.down_samplings)

    @property
    def z_multiple(self) -> int:
        """Slice counts must divide by this: S-Net's first down-sampling leaves z alone."""
        return ARCHS[self.arch].z_multiple or int(2 ** (self.down_samplings - 1))

    @property
    def chunk_when_segmenting(self) -> int:
        """Slices of a chunk when a scan is segmented."""
        return self.segment_slices or self.chunk_slices

    def roi_size_of(self, organ: str) -> tuple[int, int, int]:
        """Return the size of a small organ's ROI in network voxels (z, y, x)."""
        return self.roi_sizes_zyx[self.small_organs.index(organ)] if self.roi_sizes_zyx else self.roi_size_zyx

    def channels(self, count: int, width: float = 0.0) -> int:
        """Return a channel count of the paper, scaled by ``width`` (default: the network's) to a multiple of four (squeeze-excitation divides
        by up to 4)."""
        return max(4, round(count * (width or self.width) / 4) * 4)

    def to_json(self) -> dict[str, Any]:
        """Return every field as plain values, as they stand in a bundle's manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> NetworkConfig:
        """Rebuild from a bundle. Raises DatasetError for unknown keys: a newer bundle must not be half understood.

        Bundles from before ``dilation_zyx`` was a key were trained with (2, 2, 2) and keep it.
        """
        known = {f.name for f in fields(cls)}
        unknown = set(data) - known
        _require(
            not unknown, "network configuration", sorted(unknown), "only keys that this version knows; update focusnet"
        )
        return cls(**{"dilation_zyx": DILATION_BEFORE_THE_KEY, **data})


def preset(name: str, **changes: Any) -> NetworkConfig:
    """Return the NetworkConfig of ``paper`` or ``authors`` with ``changes`` on top (``organs`` is needed).

    Raises DatasetError for another name and for values that cannot work.
    """
    if name not in get_args(PresetName):
        raise DatasetError(f"Preset {name!r} is unknown; choose {_or(get_args(PresetName))}.")
    settings = dict(AUTHORS) if name == "authors" else {}
    settings.update(changes)
    return NetworkConfig(**settings)


def with_changes(config: NetworkConfig, **changes: Any) -> NetworkConfig:
    """Return ``config`` with other values. Raises DatasetError for values that cannot work."""
    return replace(config, **changes)


@cache
def choices_of(keys: type) -> dict[str, tuple[Any, ...]]:
    """Return field -> allowed values for the fields of the dataclass ``keys`` that have a Literal type."""
    hints = get_type_hints(keys)
    return {key: get_args(hint) for key, hint in hints.items() if get_origin(hint) is Literal}


def _or(choices: tuple[Any, ...]) -> str:
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}"


def _require(ok: bool, key: str, found: object, expected: str) -> None:
    if not ok:
        raise DatasetError(f"Configuration {key} is {found}; expected {expected}.")
