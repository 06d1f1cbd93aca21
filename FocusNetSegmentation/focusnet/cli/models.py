"""``focusnet models``: list, show, verify and install bundles, adopt fine-tuned ones and go back."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from ..errors import ModelError
from .options import Commands, add_actions, add_command, add_overwrite


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "models", "List, show, verify, install, adopt and take back model bundles.", models)
    actions = add_actions(parser)
    actions.add_parser("list", help="every bundle that can be used by name, and the folders that hold them")
    for name, text in (("show", "what a bundle knows and how well"), ("verify", "check hashes, format and shapes")):
        actions.add_parser(name, help=text).add_argument("model", help="name or folder")
    install = actions.add_parser("install", help="copy a bundle to your models folder")
    install.add_argument("model", help="a bundle's folder or .zip")
    add_overwrite(install, "replace a bundle of the same name")
    adopt = actions.add_parser("adopt", help="put a fine-tuned model in force; the one before it is kept")
    adopt.add_argument("model", metavar="RUN", help="a run of finetune, or a bundle's folder")
    adopt.add_argument("--even-if-worse", action="store_true", help="also if compare found it worse, or was not run")
    actions.add_parser("back", help="return to the version before the one in force").add_argument(
        "model", metavar="NAME"
    )


def models(options: argparse.Namespace) -> int:
    """List, show, verify, install, adopt or take back bundles, as the action says, and print the result."""
    from ..nets.bundle import available_bundles, install_bundle, load_bundle
    from ..nets.versions import shadows_shipped
    from . import model_text

    if options.action == "list":
        print(model_text.listing(available_bundles()))
    elif options.action == "show":
        print(model_text.description(load_bundle(options.model, kind=None)))
    elif options.action == "verify":
        bundle = load_bundle(options.model, kind=None)
        bundle.check_weights()
        print(f"{bundle.name}: format, hashes and shapes are right ({bundle.folder})")
    elif options.action == "install":
        bundle = install_bundle(options.model, options.overwrite)
        print(f"Installed {bundle.name} in {bundle.folder}")
        if shadows_shipped(bundle.folder):
            print("It takes the place of the shipped model of this name; rename its folder to use both.")
    elif options.action == "adopt":
        print(adopt(options.model, options.even_if_worse))
    else:
        print(back(options.model))
    return 0


def adopt(source: str, even_if_worse: bool) -> str:
    """Adopt a run's bundle and return what happened in words. Raises ModelError where a comparison speaks against it, or none was made."""
    from ..nets.versions import adopt_bundle, shadows_shipped

    found = _found_by_comparison(source, even_if_worse)
    change = adopt_bundle(source)
    now = change.now
    lines = [*found, f"{now.name} {now.version} is in force ({now.folder})."]
    if change.aside is not None:
        lines.append(f"The version before it is kept in {change.aside}.")
    elif shadows_shipped(now.folder):
        lines.append("It takes the place of the shipped model of this name.")
    return "\n".join([*lines, f"To go back: focusnet models back {now.name}"])


def back(name: str) -> str:
    """Return to the version before and return what happened in words."""
    from ..nets.versions import go_back

    change = go_back(name)
    now = change.now
    return (
        f"{now.name} {now.version} is in force again ({now.folder}).\n"
        f"The other one is kept; to return to it: focusnet models adopt {shlex.quote(str(change.aside))} --even-if-worse"
    )


def _found_by_comparison(source: str, even_if_worse: bool) -> list[str]:
    """Return what ``focusnet compare`` found of a run's bundle. Raises ModelError for "worse", and where it says nothing of this bundle."""
    from ..compare.summary import COMPARISON, read_comparison
    from ..nets.bundle import find_bundle, load_bundle
    from ..nets.versions import bundle_of_run

    if even_if_worse:
        return []
    bundle = load_bundle(bundle_of_run(source), kind=None)
    try:
        in_force = load_bundle(find_bundle(bundle.name), kind=None)
    except ModelError:
        return []  # nothing that it could be worse than
    done = read_comparison(Path(source).expanduser() / COMPARISON)
    old, new = (done.get(side, {}).get("bundle_sha256") for side in ("old", "new"))
    again = f"run: focusnet compare {bundle.name} {shlex.quote(source)} --dataset FOLDER (or adopt it --even-if-worse)"
    if new != bundle.digest:
        raise ModelError(f"{bundle.name} {bundle.version} was not compared with the model in force; {again}.")
    if old != in_force.digest:
        raise ModelError(
            f"{bundle.name} {bundle.version} was compared with another model than version {in_force.version}, which is in force; {again}."
        )
    if done["verdict"] == "worse":
        raise ModelError(
            f"{done['sentence']} It is not adopted; the old model stays in force. To adopt it all the same: --even-if-worse."
        )
    return [str(done["sentence"])]
