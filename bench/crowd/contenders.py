"""Who meets the crowd, and how each is told of its backends."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rig import peers
from rig.peers import Peer, Wiring

STORMS = frozenset({"kill", "cold", "blink"})
# Where there are more handshakes than backends can take.
LIMITED = frozenset({"blink"})


@dataclass(frozen=True)
class Contender:
    """A proxy with several backends."""

    peer: Peer
    # How its configuration names a backend, and what stands between two.
    member: Callable[[int, int], str]
    between: str = "\n"
    # What makes it read its configuration again. One that has none knows from the beginning of a
    # backend that joins later.
    reload: signal.Signals | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.peer.name

    def configure(self, wiring: Wiring, ports: list[int], settings: dict[str, str]) -> list[str]:
        """Writes its configuration with these backends, and gives the command that starts it."""
        members = self.between.join(self.member(place, port) for place, port in enumerate(ports, 1))
        # Its own settings hold names of others.
        own = {name: wiring.fill(text, settings) for name, text in self.peer.settings.items()}
        return replace(self.peer, settings=settings | own | {"MEMBERS": members}).configure(wiring)


def longwire(name: str, binary: Path) -> list[Contender]:
    """A build of longwire: with what it has against storms, and without."""
    grow = frozenset({"grow"})
    plain = f"{name}-plain"
    return [
        _longwire(name, binary, "crowd-longwire.toml", STORMS),
        _longwire(name, binary, "crowd-longwire-grow.toml", grow, {"REBALANCE": _REBALANCE}),
        _longwire(plain, binary, "crowd-longwire-plain.toml", STORMS),
        _longwire(plain, binary, "crowd-longwire-grow.toml", grow, {"REBALANCE": ""}),
    ]


_REBALANCE = """
[pool.main.rebalance]
rate = @MOVED@
tolerance = 5
min_age = "10s"
order = "oldest"
max_closing = 100
"""


def _longwire(
    name: str,
    binary: Path,
    template: str,
    only_in: frozenset[str],
    settings: dict[str, str] | None = None,
) -> Contender:
    peer = peers.longwire(name, binary, template, settings=settings or {}, only_in=only_in)
    return Contender(peer, lambda _, port: f'"127.0.0.1:{port}"', ", ")


_NGINX = Contender(
    peers.nginx("crowd-nginx.conf", settings={"LIMIT": "", "BURST": ""}),
    lambda _, port: f"        server 127.0.0.1:{port} max_fails=1 fail_timeout=10s;",
    reload=signal.SIGHUP,
)

_HAPROXY = Contender(
    # The master is who can read a new configuration.
    peers.haproxy("crowd-haproxy.cfg", "-W", settings={"LIMIT": ""}),
    lambda place, port: f"    server backend{place} 127.0.0.1:{port}",
    reload=signal.SIGUSR2,
)


def _with_limit(contender: Contender, settings: dict[str, str]) -> Contender:
    """The same with its storm control."""
    name = f"{contender.name}-limit"
    peer = replace(contender.peer, name=name, settings=settings, only_in=LIMITED)
    return replace(contender, peer=peer)


OTHERS = [
    _NGINX,
    _with_limit(
        _NGINX,
        {
            "LIMIT": "limit_req_zone $server_name zone=storm:1m rate=@RATE@r/s;",
            "BURST": "limit_req zone=storm burst=@QUEUE@;",
        },
    ),
    _HAPROXY,
    _with_limit(
        _HAPROXY,
        {
            "LIMIT": "http-request return status 503 hdr Retry-After 1 "
            "if { be_sess_rate(crowd) ge @RATE@ }"
        },
    ),
]
