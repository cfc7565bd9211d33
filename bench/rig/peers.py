"""A proxy that is measured, and how each of those that are known is started."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from . import places


class Role(Enum):
    """What a peer is in the comparison."""

    LONGWIRE = "longwire"
    PEER = "peer"
    # The least that a proxy in user space can cost.
    FLOOR = "floor"
    # No proxy at all: what latencies are compared with.
    DIRECT = "direct"


@dataclass(frozen=True)
class Wiring:
    """What a configuration has to be told."""

    plain: int
    tls: int
    backend: int
    folder: Path
    files: int
    is_tls: bool
    # The load program, which is the relay as well.
    load: Path

    def fill(self, template: str, settings: dict[str, str]) -> str:
        """The template with its @NAMES@ replaced."""
        values = {
            "PLAIN": self.plain,
            "TLS": self.tls,
            "BACKEND": self.backend,
            "FOLDER": self.folder,
            "FILES": self.files,
            "CONNECTIONS": (self.files - 1_000) // 2,
            "CERTIFICATE": places.CERTIFICATES / "certificate.pem",
            "KEY": places.CERTIFICATES / "key.pem",
            "PEM": places.CERTIFICATES / "both.pem",
        } | settings
        return re.sub(r"@([A-Z]+)@", lambda name: str(values[name[1]]), template)


# The command that starts a proxy with this configuration.
Command = Callable[[Wiring, Path], list[str]]


@dataclass(frozen=True)
class Peer:
    """One of those measured."""

    name: str
    role: Role
    # A file of `conf/`.
    template: str = ""
    command: Command = lambda wiring, config: []
    version_command: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    # Takes part in these scenarios alone.
    only_in: frozenset[str] | None = None

    def takes_part_in(self, scenario: str) -> bool:
        """Whether it is measured there."""
        return self.only_in is None or scenario in self.only_in

    def configure(self, wiring: Wiring) -> list[str]:
        """Writes its configuration, and gives the command that starts it."""
        config = wiring.folder / self.template
        if self.template:
            template = (places.TEMPLATES / self.template).read_text()
            config.write_text(wiring.fill(template, self.settings))
        return self.command(wiring, config)

    def version(self) -> str:
        """What it calls itself."""
        if not self.version_command:
            return ""
        try:
            ran = subprocess.run(
                self.version_command, capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            # It will not start either, and then says so as a failed figure.
            return "unknown"
        said = (ran.stdout + ran.stderr).strip().partition("\n")[0]
        # nginx and Envoy begin with their own name or path.
        own = said.removeprefix(self.version_command[0]).strip()
        return own.removeprefix("version:").strip()


ENVOY = places.VENV / f"lib/python3.{sys.version_info.minor}/site-packages/envoy/_bin/envoy"
CADDY = places.VENV / "bin" / "caddy"


def longwire(name: str, binary: Path, template: str, **how: Any) -> Peer:
    """A build of longwire."""
    return Peer(
        name=name,
        role=Role.LONGWIRE,
        template=template,
        command=lambda wiring, config: [str(binary), "run", "--config", str(config)],
        version_command=(str(binary), "--version"),
        **how,
    )


def nginx(template: str, **how: Any) -> Peer:
    """nginx."""
    return Peer(
        name="nginx",
        role=Role.PEER,
        template=template,
        command=_nginx,
        version_command=("nginx", "-v"),
        **how,
    )


def _nginx(wiring: Wiring, config: Path) -> list[str]:
    # It starts itself again by this name when it is upgraded, and then does not search for it.
    program = shutil.which("nginx") or "nginx"
    return [program, "-p", f"{wiring.folder}/", "-c", str(config), "-e", "stderr"]


def haproxy(template: str, *options: str, **how: Any) -> Peer:
    """HAProxy, with these options besides."""
    return Peer(
        name="haproxy",
        role=Role.PEER,
        template=template,
        command=lambda wiring, config: ["haproxy", *options, "-db", "-f", str(config)],
        version_command=("haproxy", "-v"),
        **how,
    )


def envoy(template: str, command: Command, **how: Any) -> Peer:
    """Envoy, started so."""
    return Peer(
        name="envoy",
        role=Role.PEER,
        template=template,
        command=command,
        version_command=(str(ENVOY), "--version"),
        **how,
    )


def caddy(template: str, *options: str, **how: Any) -> Peer:
    """Caddy, with these options besides."""
    return Peer(
        name="caddy",
        role=Role.PEER,
        template=template,
        command=lambda wiring, config: [str(CADDY), "run", *options, "--config", str(config)],
        version_command=(str(CADDY), "version"),
        # One thread of Go code on one CPU, like all others.
        environment={"GOMAXPROCS": "1"},
        **how,
    )
