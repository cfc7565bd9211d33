"""Who is operated, and how."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rig import peers
from rig.peers import Peer, Wiring

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
        peers.longwire(name, binary, "operate-longwire.toml"),
        reload=operations.longwire_reload,
        stop=operations.terminate,
        renew=None,
        upgrade=operations.longwire_upgrade,
    )


# nginx refuses to be upgraded as long as the process lives that started it.
_ORPHAN = '"$@" & until [ -s nginx.pid ]; do sleep 0.02; done'

_NGINX = Contender(
    peers.nginx("operate-nginx.conf", settings={"LIMIT": ""}, only_in=OTHERWISE),
    reload=operations.nginx_reload,
    stop=operations.nginx_stop,
    renew=operations.nginx_reload,
)

_HAPROXY = Contender(
    peers.haproxy("operate-haproxy.cfg", "-W", settings={"LIMIT": ""}, only_in=OTHERWISE | UPGRADE),
    reload=operations.haproxy_reload,
    stop=operations.haproxy_stop,
    renew=operations.haproxy_reload,
    upgrade=operations.haproxy_reload,
)

_CADDY = Contender(
    peers.caddy("operate-Caddyfile", "--adapter", "caddyfile", only_in=OTHERWISE),
    reload=operations.caddy_reload,
    stop=operations.terminate,
    renew=operations.caddy_reload,
)


def _envoy(wiring: Wiring, config: Path) -> list[str]:
    return [
        *(str(peers.ENVOY), "--config-path", str(config), "--concurrency", "1"),
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
    peers.envoy("operate-envoy.yaml", _envoy, only_in=OTHERWISE),
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
    start = contender.peer.command
    peer = replace(
        contender.peer,
        command=lambda wiring, config: ["sh", "-c", _ORPHAN, "sh", *start(wiring, config)],
        only_in=UPGRADE,
    )
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
