"""What measurements are made with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import conduct, install
from .processes import Cpus, Ports, Process


@dataclass(frozen=True)
class Equipment:
    """What measurements are made with."""

    # The load program.
    load: Path
    cpus: Cpus
    ports: Ports
    # How many files a process may open.
    files: int
    folder: Path

    @classmethod
    def gather(cls, files: int, folder: Path) -> Self:
        """What there is, if processes may open so many files. Things are put into that folder."""
        load = conduct.copy(install.build_load(), "load")
        files = conduct.allow_files(files)
        return cls(load, conduct.share_cpus(), Ports(), files, folder)

    def folder_of(self, name: str) -> Path:
        """Where the files of the proxy lie that is called so."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def proxy(
        self, command: list[str], folder: Path, environment: dict[str, str] | None = None
    ) -> Process:
        """Starts a proxy on its own CPU."""
        log = folder / "proxy.log"
        return Process(command, cpu=self.cpus.proxy, log=log, environment=environment)
