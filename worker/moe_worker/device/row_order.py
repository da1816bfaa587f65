"""Has torch's products in fp32 sum a row in one order, however many rows are beside it, on Intel's CPUs too.

Torch computes them with Intel's MKL, which on CPUs with AVX-512 chooses its kernel by the number of rows, and with it
the order. In the strict mode of its "conditional numerical reproducibility" it does not; AVX2 is what all these CPUs
have. On other CPUs nothing needs that mode, and MKL knows only its slowest there. `tests/moe_worker/model` holds the
bits.
"""

import os
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
SETTING, STRICT = "MKL_CBWR", "AVX2,STRICT"


def keep_row_order(cpu_info: Path = CPU_INFO) -> None:
    """For this process and its children, if before its first product: MKL looks once. What is set already stays."""
    try:
        is_intels = "GenuineIntel" in cpu_info.read_text()
    except OSError:
        return
    if is_intels:
        os.environ.setdefault(SETTING, STRICT)
