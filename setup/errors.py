"""The one way in which setting up says no."""


class SetupError(Exception):
    """Something about this machine stops the set-up: carries the value found, the rule and the remedy, in one text."""
