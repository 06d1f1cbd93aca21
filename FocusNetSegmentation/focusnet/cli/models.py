"""``focusnet models``: list, show, verify and install bundles."""

from __future__ import annotations

import argparse

from .options import Commands, add_actions, add_command, add_overwrite


def add_arguments(commands: Commands) -> None:
    """Add the command and its options."""
    parser = add_command(commands, "models", "List, show, verify and install model bundles.", models)
    actions = add_actions(parser)
    actions.add_parser("list", help="every bundle that can be used by name, and the folders that hold them")
    for name, text in (("show", "what a bundle knows and how well"), ("verify", "check hashes, format and shapes")):
        actions.add_parser(name, help=text).add_argument("model", help="name or folder")
    install = actions.add_parser("install", help="copy a bundle to your models folder")
    install.add_argument("model", help="a bundle's folder or .zip")
    add_overwrite(install, "replace a bundle of the same name")


def models(options: argparse.Namespace) -> int:
    """List, show, verify or install bundles, as the action says, and print the result."""
    from ..nets.bundle import available_bundles, install_bundle, load_bundle
    from . import model_text

    if options.action == "list":
        print(model_text.listing(available_bundles()))
    elif options.action == "show":
        print(model_text.description(load_bundle(options.model, kind=None)))
    elif options.action == "verify":
        bundle = load_bundle(options.model, kind=None)
        bundle.check_weights()
        print(f"{bundle.name}: format, hashes and shapes are right ({bundle.folder})")
    else:
        bundle = install_bundle(options.model, options.overwrite)
        print(f"Installed {bundle.name} in {bundle.folder}")
        if model_text.shadows(bundle.folder):
            print("It takes the place of the shipped model of this name; rename its folder to use both.")
    return 0
