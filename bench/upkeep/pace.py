"""How much is done, and for how long what comes of it is watched."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Times in seconds, and numbers of tunnels."""

    rounds: int = 1
    tunnels: int = 500
    # Each side of a tunnel says a message in this time, and so many new connections come a second.
    period: float = 0.2
    visits: float = 50.0
    # `reload`: how often, and how long after one the next follows.
    reloads: int = 10
    between: float = 1.0
    # `reload-many`: how often, on how many tunnels, and how many of them are renewed in between.
    many: int = 100
    fewer: int = 200
    renewed: int = 10
    # `endurance`: how often, and how often memory is looked at meanwhile.
    thousand: int = 1_000
    hundred: int = 100
    # How long is waited until a proxy counts as being at rest again.
    settled: float = 60.0
    # How long a proxy that can do so takes to tell all its tunnels, and when what is left is cut.
    drain: int = 15
    deadline: int = 30
    # How long a stop may take until it is called endless.
    limit: float = 60.0
    # `certificate`: how often one is replaced.
    replaced: int = 5

    def files(self) -> int:
        """How many files a process has to hold open: two a tunnel, and as many after a loss."""
        return 4 * max(self.tunnels, self.fewer) + 1_000

    def settings(self) -> dict[str, str]:
        """What configurations are told."""
        return {"DRAIN": str(self.drain), "DEADLINE": str(self.deadline)}


# Little of everything.
QUICK = Pace(
    tunnels=60,
    reloads=3,
    between=0.3,
    many=10,
    fewer=20,
    renewed=2,
    thousand=20,
    hundred=5,
    settled=9.0,
    drain=4,
    deadline=6,
    limit=12.0,
    replaced=2,
)
