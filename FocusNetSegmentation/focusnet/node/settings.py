"""The node's one TOML file as frozen dataclasses. Whatever is wrong with it is one line: what was found, expected, to be done."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import DatasetError, InputError
from ..files.toml_file import read_toml
from .rules import OUTPUTS, Rule

GUIDE = "docs/node.md"
LOCAL = "127.0.0.1"
GIGABYTE = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Who may send to us. ``host``: the only address that may use this AE title, "" for any. ``find``: ask it by C-FIND at
    ``host``:``port`` how many instances a series has."""

    ae_title: str
    host: str = ""
    port: int = 0
    find: bool = False
    tls: bool = False


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where structure sets go: a DICOM peer (``ae_title``, ``host``, ``port``) or a DICOMweb service (``url``)."""

    name: str
    ae_title: str = ""
    host: str = LOCAL
    port: int = 0
    tls: bool = False
    url: str = ""
    user: str = ""
    password_file: str = ""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files. With ``ca``, a client must show a certificate that this authority signed, and so must the peers that we call."""

    certificate: str = ""
    key: str = ""
    ca: str = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything the node is told. Times in seconds, ``spool_limit_bytes`` for all received files and outputs together."""

    spool: Path
    ae_title: str = "FOCUSNET"
    host: str = LOCAL
    port: int = 11112
    status_port: int = 11180  # on this computer only; 0: no status page
    quiet_s: float = 30.0
    interrupted_s: float = 300.0
    spool_limit_bytes: int = 50 * GIGABYTE
    keep_scans_s: float = 24 * 3600.0
    remember_s: float = 365 * 24 * 3600.0
    workers: int = 1
    worker_timeout_s: float = 3600.0
    tries: int = 3
    device: str = "auto"
    precision: str = "auto"
    retry_first_s: float = 5.0
    retry_longest_s: float = 600.0
    give_up_s: float = 72 * 3600.0
    tls: Tls | None = None
    peers: tuple[Peer, ...] = ()
    destinations: tuple[Destination, ...] = ()
    rules: tuple[Rule, ...] = ()

    def peer(self, ae_title: str) -> Peer | None:
        return next((peer for peer in self.peers if peer.ae_title == ae_title), None)


# the file's keys, where they differ from the fields: people write hours and gigabytes
UNITS = {
    "quiet_seconds": ("quiet_s", 1.0),
    "interrupted_seconds": ("interrupted_s", 1.0),
    "spool_limit_gb": ("spool_limit_bytes", GIGABYTE),
    "keep_scans_hours": ("keep_scans_s", 3600.0),
    "remember_days": ("remember_s", 24 * 3600.0),
    "worker_timeout_minutes": ("worker_timeout_s", 60.0),
    "retry_first_seconds": ("retry_first_s", 1.0),
    "retry_longest_seconds": ("retry_longest_s", 1.0),
    "give_up_hours": ("give_up_s", 3600.0),
}
NODE_KEYS = {"spool": str, "ae_title": str, "host": str, "port": int, "status_port": int, "workers": int, "tries": int,
             "device": str, "precision": str, **dict.fromkeys(UNITS, float)}  # fmt: skip
PEER_KEYS = {"ae_title": str, "host": str, "port": int, "find": bool, "tls": bool}
DESTINATION_KEYS = {"name": str, "ae_title": str, "host": str, "port": int, "tls": bool, "url": str, "user": str,
                    "password_file": str}  # fmt: skip
RULE_KEYS = {"name": str, "modality": str, "description": str, "slice_thickness_mm": list, "body_part": str,
             "from": list, "model": str, "organs": list, "outputs": list, "to": list}  # fmt: skip
TLS_KEYS = {"certificate": str, "key": str, "ca": str}
TABLES = {"node": dict, "tls": dict, "peer": list, "destination": list, "rule": list}
KINDS = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list [..., ...]",
}


def read_settings(path: Path) -> Settings:
    """Read the TOML file; relative paths in it are taken from its folder. Raises InputError, one line."""
    try:
        tables = read_toml(path, GUIDE)
    except DatasetError as problem:
        raise InputError(str(problem)) from problem
    return _Reader(path).settings(tables)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def settings(self, tables: dict[str, Any]) -> Settings:
        self._known(tables, TABLES, "the file")
        for table, kind in TABLES.items():
            if not isinstance(tables.get(table, kind()), kind):
                wanted = f"[[{table}]]" if kind is list else f"[{table}]"
                raise self._wrong(f"{table!r} is written in another way than {wanted}", f"write it as {wanted}")
        node = self._checked(tables.get("node", {}), NODE_KEYS, "[node]")
        if "spool" not in node:
            raise self._wrong("[node] has no 'spool'", "name the folder for received series")
        values: dict[str, Any] = {}
        for key, value in node.items():
            name, factor = UNITS.get(key, (key, None))
            values[name] = value if factor is None else value * factor
        values["spool"] = self._place(values["spool"])
        values["spool_limit_bytes"] = int(values.get("spool_limit_bytes", Settings.spool_limit_bytes))
        settings = Settings(
            **values,
            tls=self._tls(tables["tls"]) if "tls" in tables else None,
            peers=tuple(self._peer(t, n) for n, t in enumerate(tables.get("peer", []), 1)),
            destinations=tuple(self._destination(t, n) for n, t in enumerate(tables.get("destination", []), 1)),
            rules=tuple(self._rule(t, n) for n, t in enumerate(tables.get("rule", []), 1)),
        )
        self._together(settings)
        return settings

    def _peer(self, table: Any, number: int) -> Peer:
        where = f"[[peer]] {number}"
        peer = Peer(**self._checked(table, PEER_KEYS, where, ("ae_title",)))
        self._ae_title(peer.ae_title, where)
        if peer.find and not (peer.host and peer.port):
            raise self._wrong(f"{where} has find = true but no host and port", "say where it answers C-FIND")
        return peer

    def _destination(self, table: Any, number: int) -> Destination:
        where = f"[[destination]] {number}"
        values = self._checked(table, DESTINATION_KEYS, where, ("name",))
        if bool(values.get("url")) == bool(values.get("ae_title")):
            raise self._wrong(
                f"{where} ({values['name']}) needs either 'url' or 'ae_title' with 'port'", "give one of them"
            )
        if values.get("url") and not str(values["url"]).startswith(("http://", "https://")):
            raise self._wrong(f"{where}: url is {values['url']!r}", "it starts with http:// or https://")
        if values.get("ae_title"):
            self._ae_title(values["ae_title"], where)
            if not values.get("port"):
                raise self._wrong(f"{where} ({values['name']}) has no 'port'", "give the port of the DICOM peer")
        if values.get("password_file"):
            values["password_file"] = str(self._place(values["password_file"]))
            if not Path(values["password_file"]).is_file():
                raise self._wrong(f"{where}: {values['password_file']} does not exist", "name a file with the password")
        return Destination(**values)

    def _rule(self, table: Any, number: int) -> Rule:
        where = f"[[rule]] {number}"
        values = self._checked(table, RULE_KEYS, where, ("to",))
        values["senders"] = tuple(values.pop("from", ()))
        for key in ("description", "body_part"):
            try:
                re.compile(values.get(key, ""))
            except re.error as problem:
                raise self._wrong(f"{where}: {key} is no regular expression ({problem})", "correct it") from problem
        thickness = values.get("slice_thickness_mm", [0.0, 1000.0])
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in thickness)
        if len(thickness) != 2 or not numbers or not 0 <= thickness[0] <= thickness[1]:
            raise self._wrong(
                f"{where}: slice_thickness_mm is {thickness}", "two numbers are expected, such as [0.5, 5]"
            )
        outputs = values.get("outputs", ["rtstruct"])
        if not outputs or not set(outputs) <= set(OUTPUTS):
            raise self._wrong(f"{where}: outputs is {outputs}", f"use {' and '.join(OUTPUTS)}")
        for key in ("organs", "outputs", "to", "slice_thickness_mm"):
            if key in values:
                values[key] = tuple(values[key])
        return Rule(**{"name": f"rule {number}", **values})

    def _tls(self, table: Any) -> Tls:
        values = self._checked(table, TLS_KEYS, "[tls]", ("certificate", "key"))
        for key, value in values.items():
            values[key] = str(self._place(value))
            if not Path(values[key]).is_file():
                raise self._wrong(f"[tls]: {key} {values[key]} does not exist", "name a PEM file")
        return Tls(**values)

    def _together(self, settings: Settings) -> None:
        """Check what no single table can know."""
        self._ae_title(settings.ae_title, "[node]")
        for name, lowest in (("port", 1), ("status_port", 0)):
            if not lowest <= getattr(settings, name) <= 65535:
                raise self._wrong(
                    f"[node]: {name} is {getattr(settings, name)}", f"a number from {lowest} to 65535 is expected"
                )
        for field in fields(Settings):
            value = getattr(settings, field.name)
            if isinstance(value, (int, float)) and field.name not in ("port", "status_port") and value <= 0:
                key = next((key for key, (name, _) in UNITS.items() if name == field.name), field.name)
                raise self._wrong(f"[node]: {key} is not above 0", "give a number above 0")
        if not settings.peers:
            raise self._wrong("no [[peer]] may send to this node", "add the AE title of each sender")
        if not settings.rules:
            raise self._wrong("there is no [[rule]]", "say which series is contoured and where its contours go")
        names = [d.name for d in settings.destinations]
        titles = [p.ae_title for p in settings.peers]
        for what, given in (("[[destination]]", names), ("[[peer]]", titles)):
            twice = sorted({name for name in given if given.count(name) > 1})
            if twice:
                raise self._wrong(f"two {what} are called {twice[0]!r}", "rename one of them")
        for rule in settings.rules:
            unknown = [name for name in rule.to if name not in names]
            if unknown or not rule.to:
                found = repr(unknown[0]) if unknown else "no destination"
                known = ", ".join(names) or "none"
                raise self._wrong(f"rule {rule.name!r} sends to {found}", f"the destinations are: {known}")
            strangers = [name for name in rule.senders if name not in titles]
            if strangers:
                raise self._wrong(
                    f"rule {rule.name!r} is for sender {strangers[0]!r}", f"the peers are: {', '.join(titles)}"
                )
        tls_asked = [*(p.ae_title for p in settings.peers if p.tls), *(d.name for d in settings.destinations if d.tls)]
        if tls_asked and settings.tls is None:
            raise self._wrong(f"{tls_asked[0]} has tls = true but there is no [tls]", "give certificate and key there")

    def _checked(
        self, table: Any, keys: Mapping[str, type], where: str, needed: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self._wrong(f"{where} is not a table", "write its keys below it, one a line")
        self._known(table, keys, where)
        for key in needed:
            if key not in table:
                raise self._wrong(f"{where} has no {key!r}", "add it")
        for key, value in table.items():
            kind = keys[key]
            fits = isinstance(value, (int, float) if kind is float else kind)
            if not fits or (isinstance(value, bool) and kind is not bool):
                raise self._wrong(f"{where}: {key} is {value!r}", f"{KINDS[kind]} is expected")
            if kind is list and key != "slice_thickness_mm" and not all(isinstance(v, str) for v in value):
                raise self._wrong(f"{where}: {key} is {value!r}", "a list of text in quotes is expected")
        return dict(table)

    def _known(self, table: dict[str, Any], keys: Mapping[str, Any], where: str) -> None:
        unknown = [key for key in table if key not in keys]
        if unknown:
            raise self._wrong(f"{where} has an unknown key {unknown[0]!r}", f"known are: {', '.join(keys)}")

    def _ae_title(self, title: str, where: str) -> None:
        if (
            not 0 < len(title) <= 16
            or not title.isascii()
            or not title.isprintable()
            or "\\" in title
            or title != title.strip()
        ):
            raise self._wrong(f"{where}: AE title {title!r}", "1 to 16 plain characters are expected")

    def _place(self, text: str) -> Path:
        return (self.path.parent / Path(text).expanduser()).absolute()

    def _wrong(self, found: str, remedy: str) -> InputError:
        return InputError(f"{self.path}: {found}; {remedy} ({GUIDE} has an example).")
