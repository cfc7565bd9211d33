"""Where things lie."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
TEMPLATES = BENCH / "conf"
REQUIREMENTS = BENCH / "requirements.txt"

# Everything that is made lies under `target/`, which git ignores.
MADE = ROOT / "target" / "bench"
VENV = MADE / "venv"
LOAD_TARGET = MADE / "load"
PROGRAMS = MADE / "programs"
CERTIFICATES = MADE / "certificate"
RESULTS = MADE / "results"
