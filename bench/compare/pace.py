"""How much of everything a run does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Times in seconds, and numbers of tunnels."""

    rounds: int = 3
    # A measurement, and what goes before it so that nothing is cold.
    window: float = 1.0
    warm_up: float = 0.4
    # From the last byte until memory is read.
    settle: float = 1.0
    # As long as longwire waits before it pings an idle peer, so that each is pinged once.
    idle_window: float = 20.0
    tunnels: int = 4_000
    growth: tuple[int, ...] = (1_000, 2_000, 4_000, 8_000)
    few: int = 64
    many: int = 1_000
    # Messages a second in all.
    rate: int = 4_000
    # Clients that connect, fetch or take at a time.
    busy: int = 16

    def files(self) -> int:
        """How many files a process has to hold open: two a tunnel, and some."""
        return 2 * max(self.tunnels, self.many, *self.growth) + 200


# Shows that everything works; its figures say little.
QUICK = Pace(
    rounds=1,
    window=0.3,
    warm_up=0.1,
    settle=0.2,
    idle_window=2.0,
    tunnels=400,
    growth=(100, 200, 400, 800),
    many=200,
)
