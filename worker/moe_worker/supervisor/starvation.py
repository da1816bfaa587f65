"""How long a process was ready to run and got no CPU, from the kernel's own books (schedstat)."""

from pathlib import Path


def run_delay(pid: int) -> float:
    """Seconds since its start that the process's main thread waited for a CPU; 0 where the kernel keeps no such
    books.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
