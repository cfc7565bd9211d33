"""Who is measured."""

from dataclasses import replace
from pathlib import Path

from rig import peers, places
from rig.peers import Peer, Role, Wiring

# nginx reads tunnels by one page by default; in its second entry it reads as much as the others do.
_LARGE_BUFFERS = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"


def longwire(name: str, binary: Path) -> Peer:
    """A build of longwire."""
    return peers.longwire(name, binary, "longwire.toml")


def _relay(wiring: Wiring, _: Path) -> list[str]:
    port = wiring.tls if wiring.is_tls else wiring.plain
    command = [str(wiring.load), "relay"]
    command += ["--listen", f"127.0.0.1:{port}", "--backend", f"127.0.0.1:{wiring.backend}"]
    return command + (["--tls", str(places.CERTIFICATES / "both.pem")] if wiring.is_tls else [])


def _envoy(_: Wiring, config: Path) -> list[str]:
    return [
        *(str(peers.ENVOY), "--config-path", str(config), "--concurrency", "1"),
        *("--disable-hot-restart", "--log-level", "error"),
    ]


_NGINX = peers.nginx("nginx.conf", settings={"BUFFERS": ""})

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
    peers.haproxy("haproxy.cfg"),
    peers.envoy("envoy.yaml", _envoy),
    peers.caddy("Caddyfile"),
]
