"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

from . import places


def describe() -> dict[str, str]:
    """The machine and the date, for whoever compares two results."""
    return {
        "cpu": _cpu_model(),
        "cpus": str(os.cpu_count()),
        "memory": _memory(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    line = Path("/proc/meminfo").read_text().splitlines()[0]
    return f"{int(line.split()[1]) / 2**20:.0f} GiB"


def _commit() -> str:
    command = ["git", "-C", str(places.ROOT), "describe", "--always", "--dirty"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return ran.stdout.strip() or "unknown"
