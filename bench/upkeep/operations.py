"""How each proxy is told to do something."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rig.failure import Failure
from rig.processes import Process

from .waiting import until

_PATIENCE = 60


@dataclass(frozen=True)
class Subject:
    """A proxy that runs."""

    process: Process
    config: Path
    # Where its sockets are, whose paths have to be short.
    sockets: Path

    def signal(self, number: signal.Signals) -> None:
        """Sends it to the process that was started first."""
        os.kill(self.process.popen.pid, number)

    def command(self, *words: str | Path) -> None:
        """Runs a command of its own, which says how it went."""
        said = subprocess.run(
            [str(word) for word in words],
            capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        if said.returncode:
            raise Failure(f"`{words[1]}` failed: {(said.stdout + said.stderr).strip()[-300:]}")


def longwire_reload(subject: Subject) -> None:
    """`longwire reload`."""
    subject.command(_binary(subject), "reload", "--config", subject.config)


def longwire_upgrade(subject: Subject) -> None:
    """`longwire upgrade`, which comes back when the new process serves."""
    subject.command(_binary(subject), "upgrade", "--config", subject.config)


def nginx_reload(subject: Subject) -> None:
    """As `nginx -s reload` does."""
    os.kill(_nginx_master(subject), signal.SIGHUP)


def nginx_upgrade(subject: Subject) -> None:
    """The procedure of its documentation: the new one starts, the old one is asked to finish."""
    old, before = _nginx_master(subject), set(subject.process.pids())
    os.kill(old, signal.SIGUSR2)
    is_written = lambda: _nginx_pid_file(subject, ".oldbin").exists()  # noqa: E731
    until(is_written, _PATIENCE, "the old one makes room")
    has_begun = lambda: len(set(subject.process.pids()) - before) >= 2  # noqa: E731
    until(has_begun, _PATIENCE, "a new master with a worker")
    os.kill(old, signal.SIGWINCH)
    os.kill(old, signal.SIGQUIT)


def haproxy_reload(subject: Subject) -> None:
    """The master starts itself again from its file, so that it is an upgrade as well.

    A signal that comes while it is about to be there again may be lost, and is repeated.
    """
    loaded = lambda: subject.process.log.read_text().count("Loading success")  # noqa: E731
    before = loaded()
    for _ in range(_PATIENCE):
        subject.signal(signal.SIGUSR2)
        with suppress(Failure):
            until(lambda: loaded() > before, 1, "the master has loaded its file")
            return
    raise Failure("the master does not load its file")


def caddy_reload(subject: Subject) -> None:
    """`caddy reload`, even if only files beside the configuration have changed."""
    door = f"unix/{subject.sockets}/admin.sock"
    how = ["--force", "--adapter", "caddyfile", "--address", door]
    subject.command(_binary(subject), "reload", *how, "--config", subject.config)


def envoy_reload(_: Subject) -> None:
    """Its files are there already, and it watches them."""


def envoy_upgrade(subject: Subject) -> None:
    """Another one starts, as the next epoch."""
    subject.signal(signal.SIGUSR2)


def nginx_stop(subject: Subject) -> None:
    """As `nginx -s quit` does."""
    os.kill(_nginx_master(subject), signal.SIGQUIT)


def haproxy_stop(subject: Subject) -> None:
    """The gentle one; SIGTERM ends everything at once."""
    subject.signal(signal.SIGUSR1)


def terminate(subject: Subject) -> None:
    """What every system sends."""
    subject.signal(signal.SIGTERM)


def _nginx_master(subject: Subject) -> int:
    return int(_nginx_pid_file(subject).read_text())


def _nginx_pid_file(subject: Subject, suffix: str = "") -> Path:
    return subject.config.parent / f"nginx.pid{suffix}"


def _binary(subject: Subject) -> str:
    return subject.process.popen.args[0]
