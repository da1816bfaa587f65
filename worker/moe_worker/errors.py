"""What ends a worker process on purpose, and with which exit status.

WorkerError
├── SettingsError     the pod's environment cannot be right
└── TransportError    the transport that the deployment asks for cannot be had here
"""

EXIT_DEVICE = 86
"""The rank's device could not be opened, or failed while it ran."""

EXIT_MODEL = 87
"""The checkpoint is not there, not whole, or not the declared one."""


class WorkerError(Exception):
    """Told to people as it is: value, rule, remedy."""


class SettingsError(WorkerError):
    """A variable of the pod's environment is missing or senseless."""


class TransportError(WorkerError):
    """The image or the node lacks what the transport needs."""
