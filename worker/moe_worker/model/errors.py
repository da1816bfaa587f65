"""What can be wrong with a checkpoint, said so that its owner can mend it."""


class CheckpointError(Exception):
    """The checkpoint cannot be served: what was found (value), what must hold (rule), what to do (remedy)."""

    def __init__(self, value: str, rule: str, remedy: str) -> None:
        super().__init__(f"{value}: {rule}; {remedy}")
        self.value = value
        self.rule = rule
        self.remedy = remedy
