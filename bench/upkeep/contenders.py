"""Who is operated, and how."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from compare import places
from compare.peers import Peer, Role, Wiring

from . import operations
from .operations import Subject

UPGRADE = frozenset({"upgrade"})
OTHERWISE = frozenset({"reload", "reload-many", "stop", "certificate"})

Operation = Callable[[Subject], None]


@dataclass(frozen=True)
class Contender:
    """A proxy, and what it can be told to do."""

    peer: Peer
    reload: Operation
    stop: Operation
    # What has it serve a certificate that has been replaced; nothing if it sees that itself.
    renew: Operation | None
    upgrade: Operation | None = None
    # Further files of `conf/` that its configuration consists of.
    parts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.peer.name


def longwire(name: str, binary: Path) -> Contender:
    """A build of longwire."""
    return Contender(
        Peer(
            name=name,
            role=Role.LONGWIRE,
            template="operate-longwire.toml",
            command=lambda wiring, config: [str(binary), "run", "--config", str(config)],
            version_command=(str(binary), "--version"),
        ),
        reload=operations.longwire_reload,
        stop=operations.terminate,
        renew=None,
        upgrade=operations.longwire_upgrade,
    )


def _nginx(wiring: Wiring, config: Path) -> list[str]:
    # It starts itself again by this name, and then does not search for it.
    program = shutil.which("nginx") or "nginx"
    return [program, "-p", f"{wiring.folder}/", "-c", str(config), "-e", "stderr"]


# nginx refuses to be upgraded as long as the process lives that started it.
_ORPHAN = '"$@" & until [ -s nginx.pid ]; do sleep 0.02; done'


def _nginx_orphan(wiring: Wiring, config: Path) -> list[str]:
    return ["sh", "-c", _ORPHAN, "sh", *_nginx(wiring, config)]


_NGINX = Contender(
    Peer(
        name="nginx",
        role=Role.PEER,
        template="operate-nginx.conf",
        command=_nginx,
        version_command=("nginx", "-v"),
        settings={"LIMIT": ""},
        only_in=OTHERWISE,
    ),
    reload=operations.nginx_reload,
    stop=operations.nginx_stop,
    renew=operations.nginx_reload,
)

_HAPROXY = Contender(
    Peer(
        name="haproxy",
        role=Role.PEER,
        template="operate-haproxy.cfg",
        command=lambda wiring, config: ["haproxy", "-W", "-db", "-f", str(config)],
        version_command=("haproxy", "-v"),
        settings={"LIMIT": ""},
        only_in=OTHERWISE | UPGRADE,
    ),
    reload=operations.haproxy_reload,
    stop=operations.haproxy_stop,
    renew=operations.haproxy_reload,
    upgrade=operations.haproxy_reload,
)

_BINARY = places.VENV / "bin" / "caddy"

_CADDY = Contender(
    Peer(
        name="caddy",
        role=Role.PEER,
        template="operate-Caddyfile",
        command=lambda wiring, config: [
            *(str(_BINARY), "run", "--adapter", "caddyfile", "--config", str(config)),
        ],
        version_command=(str(_BINARY), "version"),
        # One thread of Go code on one CPU, like all others.
        environment={"GOMAXPROCS": "1"},
        only_in=OTHERWISE,
    ),
    reload=operations.caddy_reload,
    stop=operations.terminate,
    renew=operations.caddy_reload,
)

_ENVOY_BINARY = places.VENV / f"lib/python3.{sys.version_info.minor}/site-packages/envoy/_bin/envoy"


def _envoy(wiring: Wiring, config: Path) -> list[str]:
    return [
        *(str(_ENVOY_BINARY), "--config-path", str(config), "--concurrency", "1"),
        # What identifies those that hand over to each other.
        *("--base-id", str(wiring.plain), "--log-level", "error"),
    ]


# Does what hot-restarter.py of its distribution does: on SIGUSR2 another one takes over.
_HEIRS = """
epoch=0
start() { "$@" --restart-epoch $epoch & epoch=$((epoch + 1)); }
trap 'start "$@"' USR2
start "$@"
while :; do wait; sleep 0.1; done
"""


def _envoy_with_heirs(wiring: Wiring, config: Path) -> list[str]:
    drain = ["--drain-time-s", "@DRAIN@", "--parent-shutdown-time-s", "@DEADLINE@"]
    return ["sh", "-c", _HEIRS, "sh", *_envoy(wiring, config), *drain]


_ENVOY = Contender(
    Peer(
        name="envoy",
        role=Role.PEER,
        template="operate-envoy.yaml",
        command=_envoy,
        version_command=(str(_ENVOY_BINARY), "--version"),
        only_in=OTHERWISE,
    ),
    reload=operations.envoy_reload,
    stop=operations.terminate,
    renew=None,
    parts=(
        "operate-envoy-routes.yaml",
        "operate-envoy-backends.yaml",
        "operate-envoy-secrets.yaml",
    ),
)


def _orphan(contender: Contender) -> Contender:
    """The same where it is upgraded."""
    peer = replace(contender.peer, command=_nginx_orphan, only_in=UPGRADE)
    return replace(contender, peer=peer, upgrade=operations.nginx_upgrade)


def _with_limit(contender: Contender, setting: str) -> Contender:
    """The same with a limit in time for what an operation leaves behind."""
    name = f"{contender.name}-limit"
    return replace(contender, peer=replace(contender.peer, name=name, settings={"LIMIT": setting}))


_NGINX_LIMIT = _with_limit(_NGINX, "worker_shutdown_timeout @DEADLINE@s;")

OTHERS = [
    _NGINX,
    _orphan(_NGINX),
    _NGINX_LIMIT,
    _orphan(_NGINX_LIMIT),
    _HAPROXY,
    _with_limit(_HAPROXY, "hard-stop-after @DEADLINE@s"),
    _CADDY,
    _ENVOY,
    replace(
        _ENVOY,
        peer=replace(_ENVOY.peer, command=_envoy_with_heirs, only_in=UPGRADE),
        upgrade=operations.envoy_upgrade,
    ),
]
