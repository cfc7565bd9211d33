"""How large the crowd is, and how much its backends can take."""

from dataclasses import dataclass

# How many backends there are in a storm; one of them is killed.
BACKENDS = 4


@dataclass(frozen=True)
class Pace:
    """Times in seconds, and numbers of tunnels."""

    rounds: int = 3
    tunnels: int = 4_000
    # What a backend needs for a handshake, and how many times as much while its caches are cold.
    work: float = 0.005
    cold: int = 4
    # `cold`: how long the killed backend stays away and then is cold, and how many new clients
    # arrive meanwhile.
    away: float = 5.0
    cold_for: float = 5.0
    newcomers: int = 2_400
    newcomers_for: float = 12.0
    # When a storm that does not end is called lost.
    limit: float = 40.0
    # `grow`: tunnels on two backends, how many longwire may move in a second, for how long the
    # three are watched, and how many new clients arrive meanwhile.
    settled: int = 3_000
    moved: int = 100
    watched: float = 26.0
    passers_by: int = 260

    def files(self) -> int:
        """How many files a process has to hold open: two a tunnel, and some."""
        return 2 * max(self.tunnels + self.newcomers, self.settled) + 1_000

    def settings(self) -> dict[str, str]:
        """What configurations are told: their limits suit backends and clients."""
        # What the backends can take that are left when one is killed.
        left = BACKENDS - 1
        rate = round(left / self.work)
        each = max(2, round(0.1 / self.work))
        return {
            "RATE": str(rate),
            # Clients give up after two seconds.
            "QUEUE": str(round(1.8 * rate)),
            "EACH": str(each),
            "TOGETHER": str(left * each),
            "MOVED": str(self.moved),
        }


# A tenth of the crowd, before backends that are ten times slower.
QUICK = Pace(
    rounds=1,
    tunnels=400,
    work=0.05,
    newcomers=240,
    settled=300,
    moved=10,
    passers_by=26,
)
