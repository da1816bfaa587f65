"""What can go wrong on the way to the API server, in the operator's own words.

ApiError
|- NotFound         there is no such object
|- Conflict         someone else wrote first, or the object exists already
|- Denied           the service account may not do this
|- Invalid          the API server refuses the object
|- Unavailable      no answer in time, or a server error
`- ForeignObject    an object of ours is in the way, but somebody else owns it
"""


class ApiError(Exception):
    """A request that did not succeed."""


class NotFound(ApiError):
    """There is no such object."""


class Conflict(ApiError):
    """The precondition does not hold: another writer was first, or the object exists already."""


class Denied(ApiError):
    """The API server knows us and refuses (RBAC or admission)."""


class Invalid(ApiError):
    """The API server refuses the content."""


class Unavailable(ApiError):
    """No answer in time, or the server's own error; it may or may not have been done."""


class ForeignObject(ApiError):
    """An object with the name we need exists and is not ours; it is never overwritten."""
