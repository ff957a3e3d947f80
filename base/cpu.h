#ifndef BASE_CPU_H
#define BASE_CPU_H
/*
 * cpu: whether this CPU runs what the program was built for. The folders that compute are built for
 * x86-64-v3 (AVX2); everything else, this included, for any CPU of the architecture, so that main
 * can report what is missing instead of crashing on an illegal instruction.
 */

/* The first instruction set that is missing ("AVX2"); NULL: none. RELEARN_CPU=sse2 in the
   environment: as if the CPU had no more than that. */
const char *cpu_missing(void);
/* The same, said on standard error in prog's name: 0, or the exit status. For main, first thing. */
int cpu_check(const char *prog);

#endif
