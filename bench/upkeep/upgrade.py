"""Another process takes over."""

import time

from rig.failure import Failure
from rig.rounds import Figure, Outcome

from . import figures
from .pace import Pace
from .stage import Stage

FIGURES = [
    *figures.CLIENTS,
    Figure("plain.kept", "plain tunnels that stand a minute later", "%"),
    Figure("tls.kept", "TLS tunnels that stand a minute later", "%"),
    Figure("closed", "tunnels that got a Close", ""),
    Figure("cut", "tunnels that ended without one", ""),
    Figure("reset", "tunnels that were reset", ""),
    Figure("spread", "from the first tunnel lost to the last", "s"),
    Figure("processes.before", "processes before", ""),
    Figure("processes.after", "… a minute later", ""),
    Figure("processes.old", "… of which were there before", ""),
]


def run(stage: Stage, pace: Pace) -> Outcome:
    """Upgrades it to itself."""
    stage.open(pace.tunnels)
    before, opened = stage.processes(), stage.clients.tell()
    stage.contender.upgrade(stage.subject)
    time.sleep(pace.settled)
    after = stage.processes()
    if not after - before:
        raise Failure("no other process took over")
    story = stage.clients.listen()
    losses = story.losses
    values = figures.of_clients(story) | {
        "plain.kept": 100 * story.plain / opened.plain,
        "tls.kept": 100 * story.tls / opened.tls,
        "closed": figures.ended(losses, "close"),
        "cut": figures.ended(losses, "cut"),
        "reset": figures.ended(losses, "reset"),
        "spread": figures.spread(losses),
        "processes.before": len(before),
        "processes.after": len(after),
        # A master that starts itself again is a new one under its old number.
        "processes.old": len(after & before),
    }
    lost = [{"kind": loss.kind, "at": loss.at, "how": loss.how} for loss in losses]
    return Outcome(values, story.failures(), {"lost": lost})
