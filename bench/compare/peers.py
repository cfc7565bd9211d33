"""Who is measured, and how each is started."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from . import places

# nginx reads tunnels by one page by default; in its second entry it reads as much as the others do.
_LARGE_BUFFERS = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"


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


@dataclass(frozen=True)
class Peer:
    """One of those measured."""

    name: str
    role: Role
    # A file of `conf/`.
    template: str = ""
    command: Callable[[Wiring, Path], list[str]] = lambda wiring, config: []
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


def longwire(name: str, binary: Path) -> Peer:
    """A build of longwire."""
    return Peer(
        name=name,
        role=Role.LONGWIRE,
        template="longwire.toml",
        command=lambda wiring, config: [str(binary), "run", "--config", str(config)],
        version_command=(str(binary), "--version"),
    )


def _relay(wiring: Wiring, _: Path) -> list[str]:
    port = wiring.tls if wiring.is_tls else wiring.plain
    command = [str(wiring.load), "relay"]
    command += ["--listen", f"127.0.0.1:{port}", "--backend", f"127.0.0.1:{wiring.backend}"]
    return command + (["--tls", str(places.CERTIFICATES / "both.pem")] if wiring.is_tls else [])


def _nginx(wiring: Wiring, config: Path) -> list[str]:
    return ["nginx", "-p", f"{wiring.folder}/", "-c", str(config), "-e", "stderr"]


_NGINX = Peer(
    name="nginx",
    role=Role.PEER,
    template="nginx.conf",
    command=_nginx,
    version_command=("nginx", "-v"),
    settings={"BUFFERS": ""},
)

_PACKAGES = places.VENV / f"lib/python3.{sys.version_info.minor}/site-packages"
_ENVOY = _PACKAGES / "envoy" / "_bin" / "envoy"
_CADDY = places.VENV / "bin" / "caddy"

OTHERS = [
    Peer(name="direct", role=Role.DIRECT, only_in=frozenset({"paced"})),
    Peer(name="relay", role=Role.FLOOR, command=_relay),
    _NGINX,
    replace(
        _NGINX,
        name="nginx-64k",
        settings={"BUFFERS": _LARGE_BUFFERS},
        only_in=frozenset({"memory", "bulk"}),
    ),
    Peer(
        name="haproxy",
        role=Role.PEER,
        template="haproxy.cfg",
        command=lambda wiring, config: ["haproxy", "-db", "-f", str(config)],
        version_command=("haproxy", "-v"),
    ),
    Peer(
        name="envoy",
        role=Role.PEER,
        template="envoy.yaml",
        command=lambda wiring, config: [
            *(str(_ENVOY), "--config-path", str(config), "--concurrency", "1"),
            *("--disable-hot-restart", "--log-level", "error"),
        ],
        version_command=(str(_ENVOY), "--version"),
    ),
    Peer(
        name="caddy",
        role=Role.PEER,
        template="Caddyfile",
        command=lambda wiring, config: [str(_CADDY), "run", "--config", str(config)],
        version_command=(str(_CADDY), "version"),
        # One thread of Go code on one CPU, like all others.
        environment={"GOMAXPROCS": "1"},
    ),
]
