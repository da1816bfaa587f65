"""What can go wrong, in words for the person at the terminal: the value, the rule and the remedy.

LocalError
├── BuildError       the control plane's programs cannot be had
├── PlaneError       a program of the control plane does not start or answer
├── ClusterDown      there is no cluster under this state folder
├── ApiError         the API server refused or could not be reached (status 0)
└── StartError       a container could not be started
"""

from __future__ import annotations


class LocalError(Exception):
    """The base of every error this package raises on purpose; its text is meant for users."""


class BuildError(LocalError):
    """The control plane's programs cannot be built or found."""


class PlaneError(LocalError):
    """A program of the control plane does not start or does not answer."""


class ClusterDown(LocalError):
    """A command needs a running cluster and there is none."""


class ApiError(LocalError):
    """An answer of the API server other than success; status 0 means that it was not reached."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status or 'no answer'}: {message}")
        self.status = status
        self.message = message

    @property
    def is_transient(self) -> bool:
        """True when the same request may succeed later without anything being changed."""
        return self.status in (0, 408, 429) or self.status >= 500


class StartError(LocalError):
    """A container could not be started; `reason` is the word that Kubernetes shows for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
