"""What clients and the machine tell of every operation."""

from rig.rounds import Figure

from .clients import Loss, Story
from .stage import Memory

CLIENTS = [
    Figure("tunnels.lost", "tunnels lost", ""),
    Figure("messages.lost", "messages lost", ""),
    Figure("messages.repeated", "messages doubled or out of order", ""),
    Figure("messages.wait", "longest wait for a message to come back", "ms"),
    Figure("visits.failed", "new connections that failed", ""),
    Figure("visits.longest", "the longest that one took", "ms"),
]


def of_clients(story: Story) -> dict[str, float]:
    """The values of these."""
    return {
        "tunnels.lost": len(story.losses),
        "messages.lost": story.messages_lost(),
        "messages.repeated": story.repeated,
        "messages.wait": story.longest_wait_milliseconds,
        "visits.failed": story.visits_failed(),
        "visits.longest": story.visits["longest_milliseconds"],
    }


def spread(losses: list[Loss]) -> float:
    """Over how long they were lost, in seconds."""
    times = [loss.at for loss in losses]
    return max(times) - min(times) if times else 0.0


def ended(losses: list[Loss], how: str) -> int:
    """How many ended like that."""
    return sum(loss.how.partition(" ")[0] == how for loss in losses)


def memory_figures(name: str, title: str) -> list[Figure]:
    """Both ways to count."""
    return [
        Figure(f"{name}.pss", f"memory {title}, shared pages once", "MiB"),
        Figure(f"{name}.rss", f"memory {title}, shared pages in each process", "MiB"),
    ]


def of_memory(name: str, memory: Memory) -> dict[str, float]:
    """The values of these."""
    return {f"{name}.pss": memory.pss / 2**20, f"{name}.rss": memory.rss / 2**20}
