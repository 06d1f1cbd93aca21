"""A DICOM node: CT series come in from scanners and archives, structure sets go out (extra ``node``). docs/node.md says how to run it.

The way of a series: ``receive`` (C-STORE) -> ``spool`` (files on disk, fsynced before they are acknowledged) -> ``completeness``
(quiet time, C-FIND) -> ``settings`` (which rule fits) -> ``worker`` (a process of its own contours and writes) -> ``send``
(C-STORE or STOW-RS, again until it is taken). ``service`` runs them; ``status_page`` shows them.
"""
