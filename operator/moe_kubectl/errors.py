"""What the command says instead of a traceback: messages that carry value, rule and remedy."""


class CommandError(Exception):
    """Ends the command with exit code 2 and these lines on stderr."""

    def __init__(self, *messages: str) -> None:
        super().__init__(*messages)
        self.messages = messages
