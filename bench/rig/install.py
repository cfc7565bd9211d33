"""Brings in what is missing: the peers, the programs of this repository, and a certificate."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import places

# A fresh installation must not start a service on port 80; Debian asks this file first.
_APT = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --quiet --yes --no-install-recommends "$@"
"""


def packages(programs: list[str]) -> None:
    """Installs from Debian's packages what is not there, without starting a service."""
    missing = [program for program in programs if not shutil.which(program)]
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    if not missing:
        return
    _say(f"installing {', '.join(missing)}")
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    _run([*as_root, "sh", "-c", _APT, "sh", *missing])


def venv() -> None:
    """Installs the peers that come as Python packages, and what draws the chart."""
    wanted = places.REQUIREMENTS.read_text()
    stamp = places.VENV / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    _say(f"installing {', '.join(wanted.split())}")
    _run([sys.executable, "-m", "venv", "--clear", str(places.VENV)])
    pip = [str(places.VENV / "bin" / "python"), "-m", "pip"]
    _run([*pip, "install", "--quiet", "--requirement", str(places.REQUIREMENTS)])
    stamp.write_text(wanted)


def build_longwire() -> Path:
    """Builds this repository's longwire."""
    _say("building longwire")
    _run(["cargo", "build", "--release", "--locked"], cwd=places.ROOT)
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return places.ROOT / target / "release" / "longwire"


def build_load() -> Path:
    """Builds the load program, beside everything else that is made."""
    _say("building the load program")
    environment = os.environ | {"CARGO_TARGET_DIR": str(places.LOAD_TARGET)}
    command = ["cargo", "build", "--release", "--locked"]
    _run(command, cwd=places.BENCH / "load", env=environment)
    return places.LOAD_TARGET / "release" / "load"


def certificate(folder: Path = places.CERTIFICATES) -> None:
    """Makes the certificate that all proxies use: ECDSA on P-256, the fastest of the usual ones."""
    if (folder / "both.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    chain, key = folder / "certificate.pem", folder / "key.pem"
    _run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "3650", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(chain)),
        ],
        stderr=subprocess.DEVNULL,
    )
    (folder / "both.pem").write_text(chain.read_text() + key.read_text())


def _run(command: list[str], **how: object) -> None:
    """Runs it. What it prints goes where our own progress goes."""
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL, **how)
    except FileNotFoundError:
        sys.exit(f"{_us()}: {command[0]} is not installed")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{_us()}: `{' '.join(command[:3])} …` ended with status {error.returncode}")


def _us() -> str:
    """The command that was given."""
    return f"bench/{Path(sys.argv[0]).name}"


def _say(what: str) -> None:
    print(f"{what} …", file=sys.stderr, flush=True)
