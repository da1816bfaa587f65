"""NIXL's agent of this process, as the few calls that the transport makes; its errors become FetchError.

Knows neither messages nor connections. An agent is made after the last fork, for UCX starts a thread. Not run on a
GPU: only host memory is registered.
"""

import os
from types import ModuleType
from typing import Any

from moe_worker.errors import TransportError
from moe_worker.transport.nixl_slab import Slab

# What fails comes as an exception; UCX reads its other settings (UCX_TLS, UCX_NET_DEVICES) from the pod's environment.
QUIET = {"UCX_LOG_LEVEL": "fatal", "UCX_WARN_UNUSED_ENV_VARS": "n", "NIXL_LOG_LEVEL": "FATAL"}


class FetchError(Exception):
    """NIXL cannot, or can no longer, read the peer's memory."""


def agent_name(rank: int, pod_uid: str, incarnation: int) -> str:
    """Names one process: what the handshake has proved of a peer, so that no agent passes for another's."""
    return f"{rank}.{pod_uid}.{incarnation}"


class Agent:
    """Reads memory of other processes whose metadata it was given; lets others read what it has registered.

    No thread of the library's moves anything: it goes on only while one of its calls runs.
    """

    def __init__(self, name: str) -> None:
        """Raises TransportError where NIXL is not installed or cannot start."""
        for key, value in QUIET.items():
            os.environ.setdefault(key, value)
        library = _load()
        self._errors = _errors_of(library)
        try:
            config = library.nixl_agent_config(enable_prog_thread=False, backends=["UCX"])
            self._agent = library.nixl_agent(name, config)
        except self._errors as error:
            raise TransportError(
                f"spec.engine.transport is nixl, but NIXL cannot start ({error}): UCX needs a network device that"
                " UCX_TLS and UCX_NET_DEVICES allow; widen them, or set spec.engine.transport to tcp"
            ) from error

    def register(self, slab: Slab) -> Any:
        """What deregister() and metadata() take."""
        return self._agent.register_memory([(slab.address, slab.num_bytes, 0, "")], "DRAM")

    def deregister(self, registered: Any) -> None:
        self._agent.deregister_memory(registered)

    def metadata(self, registered: Any) -> bytes:
        """What another agent must know to read that memory, and no other."""
        return bytes(self._agent.get_partial_agent_metadata(registered, inc_conn_info=True, backends=["UCX"]))

    def add(self, name: str, metadata: bytes) -> None:
        """Learn how to read that agent's memory. Raises FetchError, also when the metadata is another agent's."""
        try:
            found = self._agent.add_remote_agent(metadata)
        except self._errors as error:
            raise FetchError(f"its agent cannot be reached: {_text(error)}") from error
        if found.decode() != name:
            self.remove(found.decode())
            raise FetchError(f"its agent calls itself {found.decode()}")

    def remove(self, name: str) -> None:
        """Forget it; what it still reads or writes ends with an error."""
        try:
            self._agent.remove_remote_agent(name)
        except self._errors:
            return  # it was never added, or has gone with its process

    def read(self, name: str, address: int, num_bytes: int, into: int) -> "Reading":
        """Begin to copy from the agent's memory to the own address. Raises FetchError."""
        agent = self._agent
        try:
            own = agent.get_xfer_descs([(into, num_bytes, 0)], "DRAM")
            others = agent.get_xfer_descs([(address, num_bytes, 0)], "DRAM")
            handle = agent.initialize_xfer("READ", own, others, name)
            return Reading(agent, handle, agent.transfer(handle), self._errors)
        except self._errors as error:
            raise FetchError(f"{num_bytes} bytes cannot be read: {_text(error)}") from error

    def progress(self) -> None:
        """Let others read, where it takes this process to answer them."""
        self._agent.get_new_notifs()


class Reading:
    """One copy under way."""

    __slots__ = ("_agent", "_errors", "_handle", "_state")

    def __init__(self, agent: Any, handle: Any, state: str, errors: tuple[type[Exception], ...]) -> None:
        self._agent = agent
        self._handle = handle
        self._state = state
        self._errors = errors

    def is_done(self) -> bool:
        """Raises FetchError when it never will be."""
        if self._state == "PROC":
            try:
                self._state = self._agent.check_xfer_state(self._handle)
            except self._errors as error:
                raise FetchError(f"a read failed: {_text(error)}") from error
        if self._state == "ERR":
            raise FetchError("a read failed")
        return self._state == "DONE"

    def drop(self) -> None:
        """Give it up. Bytes may still come in until the memory is deregistered."""
        try:
            self._handle.release()
        except self._errors:
            self._handle = None  # the library keeps it until the process ends


def _load() -> ModuleType:
    try:
        from nixl_cu13 import _api
    except ImportError as error:
        raise TransportError(
            f"spec.engine.transport is nixl, but nixl_cu13 cannot be imported ({error});"
            " the worker's image must have the extra moe-operator[nixl]; build it in, or set the transport to tcp"
        ) from error
    return _api


def _errors_of(library: ModuleType) -> tuple[type[Exception], ...]:
    """What its calls raise; there is no base class."""
    members = vars(library.nixlBind).values()
    own = [member for member in members if isinstance(member, type) and issubclass(member, Exception)]
    return (RuntimeError, *own)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
