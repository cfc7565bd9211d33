"""The files of a proxy's certificate, of which there are two to choose from."""

import os
import shutil
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from rig import install, places

_FILES = ("key.pem", "certificate.pem", "both.pem")


def make() -> None:
    """Makes both, if they are not there."""
    for number in range(2):
        install.certificate(_made(number))


@dataclass
class Certificates:
    """What a proxy finds in its folder."""

    folder: Path
    number: int = 0

    def replace(self) -> None:
        """Puts the other one in its place. A reader never finds half a file."""
        self.number = 1 - self.number
        for name in _FILES:
            fresh = self.folder / f"{name}.new"
            shutil.copy(_made(self.number) / name, fresh)
            os.replace(fresh, self.folder / name)

    def is_served_at(self, port: int) -> bool:
        """Whether a new connection gets what lies in the folder."""
        text = (self.folder / "certificate.pem").read_text()
        return _served(port) == ssl.PEM_cert_to_DER_cert(text)

    def settings(self) -> dict[str, str]:
        """What configurations are told."""
        key, certificate, both = (str(self.folder / name) for name in _FILES)
        return {"KEY": key, "CERTIFICATE": certificate, "PEM": both}


def _made(number: int) -> Path:
    return places.MADE / "certificates" / str(number)


def _served(port: int) -> bytes | None:
    """What a client gets that trusts everybody; nothing if it is not let in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            return encrypted.getpeercert(binary_form=True)
    except OSError:
        return None
