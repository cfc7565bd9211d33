"""What makes a figure fail without ending the run."""


class Failure(Exception):
    """A measurement that has no figure, and why."""
