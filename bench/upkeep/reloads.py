"""The configuration changes over the heads of those who are connected."""

import time
from statistics import median

from rig.rounds import Figure, Outcome

from . import figures
from .pace import Pace
from .stage import Stage

FIGURES = [
    *figures.CLIENTS,
    Figure("took", "a reload is in force after (median)", "s"),
    Figure("processes.before", "processes before", ""),
    Figure("processes.after", "… a minute after the last reload", ""),
    *figures.memory_figures("before", "before"),
    *figures.memory_figures("then", "after the last reload"),
    *figures.memory_figures("after", "a minute later"),
]


def ten(stage: Stage, pace: Pace) -> Outcome:
    """Some, with time in between."""
    stage.open(pace.tunnels)
    return _reload(stage, pace, pace.reloads, lambda: time.sleep(pace.between))


def hundred(stage: Stage, pace: Pace) -> Outcome:
    """Many, as fast as the clients that leave and come again allow."""
    stage.open(pace.fewer)
    return _reload(stage, pace, pace.many, lambda: stage.clients.renew(pace.renewed))


def _reload(stage: Stage, pace: Pace, times: int, between) -> Outcome:
    processes, before = stage.processes(), stage.memory()
    took = []
    for _ in range(times):
        took.append(stage.reload())
        between()
    then = stage.memory()
    time.sleep(pace.settled)
    values = {
        "took": median(took),
        "processes.before": len(processes),
        "processes.after": len(stage.processes()),
    }
    values |= figures.of_memory("before", before)
    values |= figures.of_memory("then", then)
    values |= figures.of_memory("after", stage.memory())
    story = stage.clients.listen()
    return Outcome(values | figures.of_clients(story), story.failures(), {"took": took})
