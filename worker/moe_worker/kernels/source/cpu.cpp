// What this CPU has of the instructions that the other files are compiled to.
#include <cstdlib>
#include <cstring>

#include "tiles.h"

namespace moe {

bool has_avx512() {
    const char* most = std::getenv("MOE_MAX_CPU_ISA");
    return __builtin_cpu_supports("avx512f") && !(most && std::strcmp(most, "AVX2") == 0);
}

}  // namespace moe

extern "C" int moe_runs_here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
