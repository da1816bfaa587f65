"""Linux's own words for isolating a container: namespaces, mounts, and dying with the parent.

A container sees this machine's files, with its volumes where its spec puts them; nothing is made on the machine for
that, as folders that miss a mount point are replaced, inside the container only, by mirrors of themselves.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_UNBINDABLE, MS_PRIVATE = 4096, 16384, 1 << 17, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of this machine, at an absolute path of the container."""

    source: str
    target: str
    read_only: bool = False


class Kernel:
    """The system calls that Python has no function for; each raises OSError with the call's name."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def die_with_parent(self) -> None:
        """SIGKILL for this process at the moment its parent ends."""
        self._call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    def unshare(self, flags: int) -> None:
        """Gives this process new namespaces; for a pid namespace: its next children."""
        self._call("unshare", flags)

    def enter(self, namespace: int, flag: int) -> None:
        """Joins the namespace behind an open file of /proc/PID/ns."""
        self._call("setns", namespace, flag)

    def mount(self, source: str, target: str, kind: str, flags: int, data: str = "") -> None:
        """mount(2)."""
        self._call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode(), about=target)

    def change_root(self, root: str) -> None:
        """Makes a mounted folder the root, and lets go of the old one."""
        os.chdir(root)
        self._call("syscall", PIVOT_ROOT[platform.machine()], b".", b".", about="pivot_root")
        self._call("umount2", b".", MNT_DETACH)
        os.chdir("/")

    def _call(self, name: str, *arguments: int | bytes, about: str = "") -> None:
        typed = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
        if getattr(self._libc, name)(*typed) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name} {about}: {os.strerror(number)}")

    @contextmanager
    def new_pid_namespace(self) -> Iterator[None]:
        """Children forked inside the block are the first of a pid namespace: all in it die with them."""
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.unshare(CLONE_NEWPID)
            yield
        finally:
            # In the child this fails, harmlessly: a process cannot leave for an outer pid namespace.
            with suppress(OSError):
                self.enter(own, CLONE_NEWPID)
            os.close(own)


def become_root_of_own(kernel: Kernel) -> None:
    """A user namespace for those who are not root, so that they may mount and make namespaces in it."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        return
    kernel.unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def enter_root(kernel: Kernel, root: str, mounts: Sequence[Mount]) -> None:
    """Moves this process to a mount namespace of its own in which the mounts are in place. `root`: an empty folder."""
    kernel.unshare(CLONE_NEWNS)
    kernel.mount("none", "/", "none", MS_REC | MS_PRIVATE)
    tree = _Tree(kernel, root)
    for mount in sorted(mounts, key=lambda mount: mount.target):
        tree.attach(mount)
    kernel.change_root(root)


class _Tree:
    """The container's file tree while it is put together below `root`."""

    def __init__(self, kernel: Kernel, root: str) -> None:
        self._kernel = kernel
        self._root = root
        # Where mount points may be made: in these folders themselves, and anywhere inside the writable volumes.
        self._mirrors = {root}
        self._volumes: list[str] = []
        kernel.mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755")
        # Else a bind of a folder that holds `root` would hold the tree itself again.
        kernel.mount("none", root, "none", MS_UNBINDABLE)
        self._fill("/", root, {"proc"})
        self._mount_proc()

    def attach(self, mount: Mount) -> None:
        """Binds one file or folder into the tree."""
        place = self._place(mount.target, is_folder=os.path.isdir(mount.source))
        self._bind(mount.source, place)
        if mount.read_only:
            self._make_read_only(place)
        else:
            self._volumes.append(place)

    def _mount_proc(self) -> None:
        proc = f"{self._root}/proc"
        os.mkdir(proc)
        try:
            self._kernel.mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        except OSError:
            # Refused where the machine's own /proc is partly hidden; then pids seen there are the machine's.
            self._bind("/proc", proc)

    def _place(self, target: str, *, is_folder: bool) -> str:
        """The path below root of a mount point, made where it is missing."""
        parts = [part for part in target.split("/") if part]
        path = self._root
        while parts:
            part = parts.pop(0)
            following = f"{path}/{part}"
            if os.path.islink(following):
                link = os.readlink(following)
                parts = [piece for piece in link.split("/") if piece and piece != "."] + parts
                path = self._root if link.startswith("/") else path
                continue
            if part == "..":
                path = os.path.dirname(path) if path != self._root else path
                continue
            if not os.path.exists(following):
                self._make(path, following, is_folder=is_folder or bool(parts))
            path = following
        return path

    def _make(self, parent: str, path: str, *, is_folder: bool) -> None:
        in_volume = any(f"{parent}/".startswith(f"{volume}/") for volume in self._volumes)
        if not in_volume and parent not in self._mirrors:
            self._mirror(parent)
        if is_folder:
            os.mkdir(path)
            self._mirrors.add(path)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))

    def _mirror(self, place: str) -> None:
        # The open folder stays what it was, with all mounts in it, when the mirror is mounted over its path.
        handle = os.open(place, os.O_RDONLY)
        mode = os.fstat(handle).st_mode & 0o7777
        self._kernel.mount("tmpfs", place, "tmpfs", MS_NOSUID, f"mode={mode:o}")
        self._fill(f"/proc/self/fd/{handle}", place, set())
        os.close(handle)
        self._mirrors.add(place)

    def _fill(self, source: str, place: str, skip: set[str]) -> None:
        for entry in os.scandir(source):
            path = f"{place}/{entry.name}"
            if entry.name in skip:
                continue
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), path)
                continue
            try:
                if entry.is_dir():
                    os.mkdir(path)
                else:
                    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
                self._bind(entry.path, path)
            except FileNotFoundError:
                # It went away since the folder was listed; others work in the same folders.
                continue

    def _bind(self, source: str, target: str) -> None:
        self._kernel.mount(source, target, "none", MS_BIND | MS_REC)

    def _make_read_only(self, place: str) -> None:
        # statvfs's bits equal mount's for these; a user namespace may not drop them.
        kept = os.statvfs(place).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        self._kernel.mount("none", place, "none", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
