"""What can be wrong with bytes or with a peer. Either ends the connection it came by, and nothing else."""


class WireError(Exception):
    """These bytes are no message of this protocol, or a message cannot be put into bytes."""


class HandshakeError(Exception):
    """The peer is not who it should be, or cannot prove it."""
