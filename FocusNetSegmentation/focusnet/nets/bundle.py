"""Model bundles: a folder with ``bundle.json`` and safetensors weights, checked before anything in it is used.

No pickle anywhere. A bundle whose hash, format, files or shapes do not fit is refused with the reason.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import FocusNetError, ModelError, OutputError
from ..files.disk import plain_errors, reason, stored_bytes, sync
from ..image.organs import Organ, find_organ
from .bundle_folders import (
    MANIFEST,
    MODELS_VARIABLE,
    available_bundles,
    exchange,
    find_bundle,
    model_folders,
    user_models_folder,
)
from .config import NetworkConfig

if TYPE_CHECKING:
    from torch import Tensor

    from .focusnet import FocusNet
    from .shape_autoencoder import ShapeAutoencoder

__all__ = [
    "MANIFEST", "MODELS_VARIABLE", "ModelBundle", "available_bundles", "find_bundle", "install_bundle", "load_bundle", "model_folders",
    "save_bundle", "user_models_folder",
]  # fmt: skip

FORMAT_VERSION = 1
SEGMENTATION, SHAPE = "segmentation", "shape"
KINDS = {  # what a bundle's network does; a bundle that does not say is one that segments
    SEGMENTATION: "a segmentation model, which contours scans (focusnet segment)",
    SHAPE: "a shape model, which judges small organs (focusnet qa) and contours nothing",
}
WEIGHTS = "weights.safetensors"
AAE_WEIGHTS = "aae.safetensors"  # the shape autoencoder, where a bundle brings it: segmenting does not need it
PICKLES = (
    ".pt",
    ".pth",
    ".pkl",
    ".pickle",
    ".ckpt",
    ".bin",
    ".npy",
)  # may hold pickled objects: never beside our weights

Network = TypeVar("Network", bound="FocusNet | ShapeAutoencoder")


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle. ``manifest`` is bundle.json as read; ``digest`` the sha256 of bundle.json, which holds those of the
    weights: two bundles with the same digest are the same model."""

    folder: Path
    name: str
    config: NetworkConfig
    organs: tuple[Organ, ...]
    manifest: dict[str, Any]
    digest: str

    @property
    def small_organs(self) -> tuple[str, ...]:
        return self.config.small_organs

    @property
    def organ_names(self) -> tuple[str, ...]:
        return self.config.organs

    @property
    def version(self) -> str:
        return str(self.manifest.get("version", ""))

    @property
    def caution(self) -> str:
        """The sentence that must stand wherever a result of this model is shown; "" where the usual disclaimer is all."""
        return str(self.manifest.get("caution", ""))

    @property
    def kind(self) -> str:
        """A key of KINDS."""
        return str(self.manifest.get("kind", SEGMENTATION))

    def build(self) -> FocusNet:
        """Return the network with its weights, in eval mode on the CPU. Raises ModelError if tensors do not fit the configuration."""
        from .focusnet import FocusNet

        return self._build(FocusNet)

    def build_autoencoder(self) -> ShapeAutoencoder:
        """Return the shape autoencoder of a bundle of kind "shape", likewise."""
        from .shape_autoencoder import ShapeAutoencoder

        return self._build(ShapeAutoencoder)

    def check_weights(self) -> None:
        """Raise ModelError unless the weights fit the network of this bundle's kind."""
        if self.kind == SHAPE:
            self.build_autoencoder()
        else:
            self.build()

    def _build(self, network_class: Callable[[NetworkConfig], Network]) -> Network:
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.folder / WEIGHTS
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as problem:
            raise ModelError(
                f"{path} is not a readable safetensors file ({problem}); install the bundle again."
            ) from problem
        with torch.device("meta"):
            network = network_class(self.config)
        wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        found = {key: tuple(value.shape) for key, value in tensors.items()}
        _check_shapes(path, wanted, found)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, assign=True)
        network.eval()
        return network


def load_bundle(name_or_path: str | Path, kind: str | None = SEGMENTATION) -> ModelBundle:
    """Return a verified bundle by name (``han7-openkbp``) or folder. Raises ModelError with what is wrong and what to do.

    ``kind``: what it is wanted for, "segmentation" or "shape"; None for any.
    """
    folder = find_bundle(name_or_path)
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        raise ModelError(f"{folder} has no {MANIFEST}; a model bundle is a folder with {MANIFEST} and {WEIGHTS}.")
    try:
        raw = manifest_path.read_bytes()
        manifest = json.loads(raw)
        if not isinstance(manifest, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as problem:
        raise ModelError(f"{manifest_path} cannot be read ({problem}); install the bundle again.") from problem
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{manifest_path}: bundle format {version!r} found, {FORMAT_VERSION} expected; update focusnet or get a bundle made for it."
        )
    missing = [key for key in ("name", "organs", "network", "sha256") if key not in manifest]
    if missing:
        raise ModelError(f"{manifest_path} lacks {', '.join(missing)}; install the bundle again.")
    _check_kind(folder, str(manifest.get("kind", SEGMENTATION)), kind)
    _verify_files(folder, manifest)
    try:
        config = NetworkConfig.from_json(manifest["network"])
    except (FocusNetError, TypeError) as problem:
        raise ModelError(f"{manifest_path}: {problem}") from problem
    return ModelBundle(
        folder=folder,
        name=str(manifest["name"]),
        config=config,
        organs=_organs(manifest_path, config),
        manifest=manifest,
        digest=hashlib.sha256(raw).hexdigest(),
    )


def save_bundle(
    folder: Path,
    name: str,
    network: FocusNet | ShapeAutoencoder,
    metadata: dict[str, Any],
    overwrite: bool = False,
    autoencoder: dict[str, Tensor] | None = None,
) -> ModelBundle:
    """Write a bundle (organ table entries and hashes are filled in) and return it, verified. ``metadata`` is merged into bundle.json.

    ``autoencoder``: tensors of the ShapeAutoencoder that was trained with the network, stored beside it.
    """
    if folder.exists() and not overwrite:
        raise ModelError(f"{folder} exists; choose another folder or pass overwrite.")
    files = {WEIGHTS: network.state_dict(), **({AAE_WEIGHTS: autoencoder} if autoencoder is not None else {})}
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        new = work / "new"
        new.mkdir()
        for file, tensors in files.items():
            _write_weights(new / file, tensors)
        manifest = {
            "format_version": FORMAT_VERSION,
            "name": name,
            **metadata,
            "organs": [_organ_entry(organ, network.config) for organ in network.config.organs],
            "network": network.config.to_json(),
            "sha256": {file: sha256(new / file) for file in files},
        }
        (new / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        sync(new / MANIFEST)
        exchange(new, folder, work / "replaced")
    except OSError as problem:
        why = reason(problem, folder, sum(map(stored_bytes, files.values())))
        raise OutputError(
            f"The bundle {folder} cannot be written ({why}). Free some space or choose another place."
        ) from problem
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return load_bundle(folder, kind=None)


def _write_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with plain_errors():
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path)
    path.chmod(0o644)  # safetensors makes files that only their owner can read
    sync(path)


def install_bundle(source: Path | str, overwrite: bool = False) -> ModelBundle:
    """Verify a bundle folder (or a .zip of one) and copy it to the user's models folder. Nothing is left behind on failure."""
    source = Path(source).expanduser()
    target_parent = user_models_folder()
    try:
        target_parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".install-", dir=target_parent))
    except OSError as problem:
        raise ModelError(
            f"The models folder {target_parent} cannot be written ({problem.strerror}); set {MODELS_VARIABLE} to another folder."
        ) from problem
    try:
        folder = _unpack(source, work) if source.suffix.lower() == ".zip" else find_bundle(source)
        bundle = load_bundle(folder, kind=None)
        bundle.check_weights()
        target = target_parent / safe_name(bundle.name)
        if target.exists() and not overwrite:
            raise ModelError(
                f"A model {bundle.name!r} is installed already in {target_parent}; remove it or pass --overwrite."
            )
        staged = work / "staged"
        staged.mkdir()
        for name in (MANIFEST, *bundle.manifest["sha256"], "model-card.md"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, staged / name)
        exchange(staged, target, work / "replaced")
    except OSError as problem:
        raise ModelError(f"The bundle cannot be installed in {target_parent}: {problem}.") from problem
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(target, kind=None)


def sha256(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_kind(folder: Path, found: str, wanted: str | None) -> None:
    if found not in KINDS:
        raise ModelError(f"{folder / MANIFEST}: the kind {found!r} is unknown; update focusnet or get another bundle.")
    if wanted is not None and found != wanted:
        raise ModelError(
            f"{folder.name} is {KINDS[found]}; {KINDS[wanted]} is expected. 'focusnet models list' shows what there is."
        )


def _verify_files(folder: Path, manifest: dict[str, Any]) -> None:
    hashes = manifest["sha256"]
    if not isinstance(hashes, dict) or WEIGHTS not in hashes:
        raise ModelError(f"{folder / MANIFEST} has no sha256 for {WEIGHTS}; install the bundle again.")
    suspicious = sorted(p.name for p in folder.rglob("*") if p.suffix.lower() in PICKLES)
    if suspicious:
        raise ModelError(
            f"{folder} holds {', '.join(suspicious)}, which may contain a pickle; a bundle holds safetensors only. Remove it or get another bundle."
        )
    for name, expected in hashes.items():
        if name != Path(name).name or not name.endswith(".safetensors"):
            raise ModelError(f"{folder / MANIFEST} lists {name!r}; plain names of safetensors files are expected.")
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path} is missing; install the bundle again.")
        found = sha256(path)
        if found != expected:
            raise ModelError(
                f"{path}: sha256 {str(expected)[:12]}.. expected, {found[:12]}.. found; install the bundle again."
            )


def _check_shapes(path: Path, wanted: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    for key in sorted(set(wanted) | set(found)):
        if wanted.get(key) != found.get(key):
            raise ModelError(
                f"{path}: tensor {key} has shape {found.get(key, 'none (missing)')}, {wanted.get(key, 'none (unknown)')} is expected "
                "by bundle.json; the bundle was put together wrongly, get it again."
            )


def _organs(manifest_path: Path, config: NetworkConfig) -> tuple[Organ, ...]:
    organs = []
    for name in config.organs:
        organ = find_organ(name)
        if organ is None:
            raise ModelError(
                f"{manifest_path} names the organ {name!r}, which the organ table does not know; update focusnet."
            )
        organs.append(organ)
    return tuple(organs)


def _organ_entry(name: str, config: NetworkConfig) -> dict[str, Any]:
    organ = find_organ(name)
    if organ is None:
        raise ModelError(f"Organ {name!r} is not in the organ table; a bundle needs TG-263 names.")
    return {
        "name": organ.name,
        "title": organ.title,
        "small": name in config.small_organs,
        "color_rgb": list(organ.color_rgb),
        "snomed_code": organ.snomed_code,
        "snomed_meaning": organ.snomed_meaning,
        "side": organ.side,
    }


def safe_name(name: str) -> str:
    """Return a bundle's name if it can be a folder's. Raises ModelError."""
    if not name or name.startswith(".") or any(c in name for c in "/\\:"):
        raise ModelError(f"The bundle's name {name!r} cannot be a folder's name; get another bundle.")
    return name


def _unpack(archive: Path, work: Path) -> Path:
    import zipfile

    try:
        with zipfile.ZipFile(archive) as handle:
            handle.extractall(work / "unpacked")  # ZipFile strips absolute paths and ".."
    except (OSError, zipfile.BadZipFile) as problem:
        raise ModelError(f"{archive} is not a readable .zip of a bundle ({problem}).") from problem
    manifests = list((work / "unpacked").rglob(MANIFEST))
    if len(manifests) != 1:
        raise ModelError(f"{archive} holds {len(manifests)} files named {MANIFEST}; exactly one is expected.")
    return manifests[0].parent
