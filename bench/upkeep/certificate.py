"""A certificate has been renewed, and lies where the old one lay."""

import time

from rig.rounds import Figure, Outcome

from . import figures
from .pace import Pace
from .stage import Stage

FIGURES = [
    Figure("served", "the new one is served after, at most", "s"),
    *figures.CLIENTS,
]


def run(stage: Stage, pace: Pace) -> Outcome:
    """Replaces it some times, with the command where one is needed."""
    stage.open(pace.tunnels)
    took = []
    for _ in range(pace.replaced):
        began = time.monotonic()
        stage.certificates.replace()
        if stage.contender.renew:
            stage.contender.renew(stage.subject)
        stage.wait_for_certificate()
        took.append(time.monotonic() - began)
        time.sleep(pace.between)
    story = stage.clients.listen()
    values = figures.of_clients(story) | {"served": max(took)}
    return Outcome(values, story.failures(), {"took": took})
