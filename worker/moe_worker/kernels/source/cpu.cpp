// Whether the instructions that the other files are compiled to are there.
extern "C" int moe_runs_here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
