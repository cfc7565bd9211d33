"""Whether anything is left behind by reloads, however many there are."""

from rig.rounds import Figure, Outcome

from . import figures
from .pace import Pace
from .stage import Stage

FIGURES = [
    *figures.CLIENTS,
    Figure("before", "resident memory before", "MiB"),
    Figure("early", "… after the first tenth of the reloads", "MiB"),
    Figure("half", "… after half of them", "MiB"),
    Figure("after", "… after all", "MiB"),
    Figure("most", "… at most", "MiB"),
]


def run(stage: Stage, pace: Pace) -> Outcome:
    """Reloads it as fast as it goes, and looks at its memory in between."""
    stage.open(pace.fewer)
    resident = [_resident(stage)]
    for done in range(1, pace.thousand + 1):
        stage.reload()
        if done % pace.hundred == 0:
            stage.clients.renew(pace.renewed)
            resident.append(_resident(stage))
    story = stage.clients.listen()
    looks = len(resident) - 1
    values = figures.of_clients(story) | {
        "before": resident[0],
        "early": resident[max(1, looks // 10)],
        "half": resident[looks // 2],
        "after": resident[-1],
        "most": max(resident),
    }
    return Outcome(values, story.failures(), {"resident": resident})


def _resident(stage: Stage) -> float:
    return stage.memory().rss / 2**20
