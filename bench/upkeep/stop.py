"""The proxy leaves, and those who are connected ought to hear of it."""

import time

from rig.failure import Failure
from rig.rounds import Figure, Outcome

from . import figures
from .pace import Pace
from .stage import Stage
from .waiting import until

FIGURES = [
    Figure("closed", "tunnels that got a Close", ""),
    Figure("cut", "tunnels that ended without one", ""),
    Figure("reset", "tunnels that were reset", ""),
    Figure("stand", "tunnels that stand when time is up", ""),
    Figure("messages.lost", "messages lost", ""),
    Figure("spread", "from the first tunnel told to the last", "s"),
    Figure("gone", "the last process is gone after", "s"),
    Figure("status", "exit status", ""),
]

_NEVER = float("inf")


def run(stage: Stage, pace: Pace) -> Outcome:
    """Stops it."""
    stage.open(pace.tunnels)
    # That nobody new is let in is what a stop is.
    stage.clients.visit(0)
    time.sleep(1)
    stage.contender.stop(stage.subject)
    gone = _wait(stage, pace.limit)
    story = stage.clients.listen()
    values = {
        "closed": figures.ended(story.losses, "close"),
        "cut": figures.ended(story.losses, "cut"),
        "reset": figures.ended(story.losses, "reset"),
        "stand": story.plain + story.tls,
        "messages.lost": story.messages_lost(),
        "spread": figures.spread(story.losses),
        "gone": gone,
        "status": _NEVER if gone == _NEVER else stage.proxy.popen.wait(),
    }
    return Outcome(values, story.failures(), {})


def _wait(stage: Stage, seconds: float) -> float:
    """How long until it is gone; for ever, if that takes too long."""
    try:
        return until(lambda: not stage.processes(), seconds, "the last process is gone")
    except Failure:
        return _NEVER
