/*
 * A CPU's AMX instructions, in software: a library to preload (see run), for testing oneDNN's AMX
 * kernels on a CPU that has the rest of what they use (AVX-512 with BF16).
 *
 * Such a CPU raises SIGILL at an AMX instruction; the handler decodes it, does it on tiles that
 * each thread has here, and steps over it. In the copy of libdnnl that `run` makes, every cpuid is
 * an ud2, which arrives here too: answered as the CPU does, plus AMX and the caches of a server
 * that has it. What a real CPU faults at (tiles that are not configured, shapes that do not fit)
 * ends the program with a message. Slow by a factor of hundreds; what it computes is exact but for
 * the order of sums, which the manual leaves to the reader as well.
 *
 * Instructions: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, LDTILECFG,
 * STTILECFG, TILELOADD(T1), TILERELEASE, TILESTORED, TILEZERO, TDPBF16PS, TDPB(SS|SU|US|UU)D.
 */
#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, LANES = 16 };

struct thread {
    bool configured;
    uint8_t config[64];
    _Alignas(64) uint8_t tile[TILES][ROWS][ROW_BYTES];
};
static _Thread_local struct thread t __attribute__((tls_model("initial-exec")));
static unsigned long instructions, products;
static bool dying;

static unsigned rows(int i)
{
    return t.config[48 + i];
}

static unsigned row_bytes(int i)
{
    return t.config[16 + 2 * i] | (unsigned)t.config[17 + 2 * i] << 8;
}

static void fault(const char *what, const uint8_t *at)
{
    char line[160];
    int n = snprintf(line, sizeof line, "amx: %s: %02x %02x %02x %02x %02x %02x %02x %02x\n", what,
                     at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        abort();
    dying = true;
    signal(SIGILL, SIG_DFL);
    raise(SIGILL);
}

/* ---- products ---- */

static float widened(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void product_bf16(uint8_t (*d)[ROW_BYTES], uint8_t (*a)[ROW_BYTES], uint8_t (*b)[ROW_BYTES],
                         unsigned m, unsigned k, unsigned n)
{
    for (unsigned i = 0; i < m; i++) {
        float even[LANES], odd[LANES] = {0};
        memcpy(even, d[i], sizeof even);
        for (unsigned j = 0; j < k; j++) {
            uint32_t pair, with[LANES];
            memcpy(&pair, a[i] + 4 * j, sizeof pair);
            memcpy(with, b[j], sizeof with);
            float first = widened(pair << 16), second = widened(pair & 0xffff0000u);
            for (int l = 0; l < LANES; l++) {
                even[l] += first * widened(with[l] << 16);
                odd[l] += second * widened(with[l] & 0xffff0000u);
            }
        }
        for (int l = 0; l < LANES; l++)
            even[l] += odd[l];
        memcpy(d[i], even, 4 * n);
    }
}

static void product_int8(uint8_t (*d)[ROW_BYTES], uint8_t (*a)[ROW_BYTES], uint8_t (*b)[ROW_BYTES],
                         unsigned m, unsigned k, unsigned n, bool signed_a, bool signed_b)
{
    for (unsigned i = 0; i < m; i++)
        for (unsigned l = 0; l < n; l++) {
            int32_t sum;
            memcpy(&sum, d[i] + 4 * l, sizeof sum);
            for (unsigned j = 0; j < 4 * k; j++) {
                uint8_t x = a[i][j], y = b[j / 4][4 * l + j % 4];
                sum += (signed_a ? (int8_t)x : (int)x) * (signed_b ? (int8_t)y : (int)y);
            }
            memcpy(d[i] + 4 * l, &sum, sizeof sum);
        }
}

/* ---- decoding ---- */

enum prefix { P_NONE, P_66, P_F3, P_F2 };

struct instruction {
    const uint8_t *at;
    int length;
    enum prefix prefix;
    uint8_t opcode;
    bool memory, index; /* the operand r/m: memory, and with a SIB byte */
    int reg, rm, vvvv;
    uint64_t address, stride; /* base + displacement; index * scale */
};

static uint64_t displacement32(const uint8_t **p)
{
    int32_t d;
    memcpy(&d, *p, sizeof d);
    *p += sizeof d;
    return (uint64_t)(int64_t)d;
}

/* The operand in memory, from the byte after ModRM. */
static void decode_address(struct instruction *o, int mod, bool x, bool b, const uint8_t *p,
                           const greg_t *g)
{
    static const int of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                               REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                               REG_R12, REG_R13, REG_R14, REG_R15};
    int base = o->rm;
    o->index = o->rm == 4;
    if (o->index) {
        int index = (*p >> 3 & 7) | x << 3;
        base = *p & 7;
        o->stride = index == 4 ? 0 : (uint64_t)g[of[index]] << (*p >> 6);
        p++;
    }
    bool none = base == 5 && mod == 0; /* no base, or the instruction's end */
    o->address = none ? displacement32(&p) : (uint64_t)g[of[base | b << 3]];
    if (mod == 1)
        o->address += (uint64_t)(int64_t)(int8_t)*p++;
    else if (mod == 2)
        o->address += displacement32(&p);
    if (none && !o->index)
        o->address += (uint64_t)p;
    o->length = (int)(p - o->at);
}

/* All of AMX is VEX.128.0F38.W0 with a VEX prefix of three bytes. */
static struct instruction decode(const uint8_t *at, const greg_t *g)
{
    struct instruction o = {.at = at, .length = 5};
    if (at[0] != 0xc4 || (at[1] & 31) != 2 || (at[2] & 0x84))
        fault("an instruction that neither this CPU nor AMX has", at);
    bool r = !(at[1] & 0x80), x = !(at[1] & 0x40), b = !(at[1] & 0x20);
    int mod = at[4] >> 6;
    o.vvvv = ~(at[2] >> 3) & 15;
    o.prefix = at[2] & 3;
    o.opcode = at[3];
    o.reg = (at[4] >> 3 & 7) | r << 3;
    o.rm = at[4] & 7;
    o.memory = mod != 3;
    if (o.memory)
        decode_address(&o, mod, x, b, at + 5, g);
    else
        o.rm |= b << 3;
    if (o.reg >= TILES || (!o.memory && o.rm >= TILES))
        fault("a tile beyond the last", at);
    return o;
}

/* ---- executing ---- */

static void configure(const struct instruction *o)
{
    const uint8_t *config = (const uint8_t *)(o->address + o->stride);
    memset(&t, 0, sizeof t);
    if (config[0] > 1)
        fault("an unknown palette", o->at);
    t.configured = config[0] == 1;
    if (t.configured)
        memcpy(t.config, config, sizeof t.config);
    for (int i = 0; i < TILES; i++)
        if (rows(i) > ROWS || row_bytes(i) > ROW_BYTES || !rows(i) != !row_bytes(i))
            fault("a tile of no possible shape", o->at);
}

static void move(const struct instruction *o)
{
    for (unsigned i = 0; i < rows(o->reg); i++) {
        uint8_t *memory = (uint8_t *)(o->address + i * o->stride);
        if (o->prefix == P_F3)
            memcpy(memory, t.tile[o->reg][i], row_bytes(o->reg));
        else
            memcpy(t.tile[o->reg][i], memory, row_bytes(o->reg));
    }
}

static void multiply(const struct instruction *o)
{
    int d = o->reg, a = o->rm, b = o->vvvv;
    if (b >= TILES || d == a || d == b || a == b)
        fault("tiles that are not three", o->at);
    unsigned m = rows(d), n = row_bytes(d) / 4, k = row_bytes(a) / 4;
    if (!m || !k || !rows(b) || rows(a) != m || rows(b) != k || row_bytes(b) != row_bytes(d) ||
        row_bytes(d) % 4 || row_bytes(a) % 4)
        fault("tiles that do not fit", o->at);
    if (o->opcode == 0x5c)
        product_bf16(t.tile[d], t.tile[a], t.tile[b], m, k, n);
    else
        product_int8(t.tile[d], t.tile[a], t.tile[b], m, k, n, o->prefix >= P_F3,
                     o->prefix == P_F2 || o->prefix == P_66);
    __atomic_fetch_add(&products, 1, __ATOMIC_RELAXED);
}

static void execute(const struct instruction *o)
{
    if (o->opcode == 0x49 && o->memory && o->prefix == P_NONE)
        configure(o);
    else if (o->opcode == 0x49 && o->memory && o->prefix == P_66)
        memcpy((void *)(o->address + o->stride), t.config, sizeof t.config);
    else if (o->opcode == 0x49 && !o->memory && o->prefix == P_NONE)
        memset(&t, 0, sizeof t);
    else if (!t.configured || !rows(o->reg))
        fault("a tile that is not configured", o->at);
    else if (o->opcode == 0x49 && !o->memory && o->prefix == P_F2)
        memset(t.tile[o->reg], 0, sizeof t.tile[o->reg]);
    else if (o->opcode == 0x4b && o->memory && o->index && o->prefix != P_NONE) {
        if (o->prefix != P_F3)
            memset(t.tile[o->reg], 0, sizeof t.tile[o->reg]);
        move(o);
    } else if (!o->memory && ((o->opcode == 0x5c && o->prefix == P_F3) || o->opcode == 0x5e))
        multiply(o);
    else
        fault("an unknown instruction", o->at);
}

/* ---- cpuid ---- */

static void answer_cpuid(greg_t *g)
{
    unsigned leaf = (unsigned)g[REG_RAX], sub = (unsigned)g[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, sub, a, b, c, d);
    switch (leaf) {
    case 0: /* the library asks only Intel's CPUs for the sizes of caches */
        a = 0x20, b = signature_INTEL_ebx, c = signature_INTEL_ecx, d = signature_INTEL_edx;
        break;
    case 4: { /* 48 KiB, 32 KiB, 2 MiB, 105 MiB */
        static const unsigned type[] = {1, 2, 3, 3}, level[] = {1, 1, 2, 3},
                              ways[] = {12, 8, 16, 15}, sets[] = {64, 64, 2048, 114688};
        a = b = c = d = 0;
        if (sub < 4) {
            a = type[sub] | level[sub] << 5 | 1u << 26;
            b = 63 | (ways[sub] - 1) << 22;
            c = sets[sub] - 1;
        }
        break;
    }
    case 7: /* AMX-BF16, TILE, INT8; also AVX512-FP16 and AVX-VNNI, without which version 3 has no AMX,
               and which it uses for f16 images only, and not where there is AVX-512 */
        if (sub == 0)
            d |= 1u << 22 | 1u << 24 | 1u << 25 | 1u << 23;
        else if (sub == 1)
            a |= 1u << 4;
        break;
    case 0xb: /* two cores of one thread each */
    case 0x1f:
        a = sub == 1, b = sub < 2 ? 1 + sub : 0, d = 0;
        c = sub | (sub < 2 ? (sub + 1) << 8 : 0);
        break;
    case 0x1d: /* palette 1 */
        a = sub == 0 ? 1 : sub == 1 ? 8192 | 1024u << 16 : 0;
        b = sub == 1 ? ROW_BYTES | TILES << 16 : 0;
        c = sub == 1 ? ROWS : 0, d = 0;
        break;
    case 0x1e:
        a = c = d = 0, b = ROWS | ROW_BYTES << 8;
        break;
    }
    g[REG_RAX] = a, g[REG_RBX] = b, g[REG_RCX] = c, g[REG_RDX] = d;
}

/* ---- the program's surroundings ---- */

static void on_illegal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)g[REG_RIP];
    if (at[0] == 0x0f && at[1] == 0x0b) {
        answer_cpuid(g);
        g[REG_RIP] += 2;
        return;
    }
    struct instruction o = decode(at, g);
    execute(&o);
    g[REG_RIP] += o.length;
    __atomic_fetch_add(&instructions, 1, __ATOMIC_RELAXED);
}

/* Test frameworks want SIGILL too. */
int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "sigaction");
    if (sig == SIGILL && act && act->sa_sigaction != on_illegal && !dying)
        return old ? real(sig, NULL, old) : 0;
    return real(sig, act, old);
}

void (*signal(int sig, void (*handler)(int)))(int)
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

/* The kernel knows of no tiles here: asked whether it saves them, yes. */
long syscall(long number, ...)
{
    enum { GET_XCOMP_SUPP = 0x1021, GET_XCOMP_PERM = 0x1022, REQ_XCOMP_PERM = 0x1023 };
    long a[6], result;
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_arch_prctl && a[0] == REQ_XCOMP_PERM)
        return 0;
    if (number == SYS_arch_prctl && (a[0] == GET_XCOMP_SUPP || a[0] == GET_XCOMP_PERM)) {
        *(uint64_t *)a[1] = 0x600e7;
        return 0;
    }
    register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}

static void report(void)
{
    fprintf(stderr, "amx: %lu instructions, %lu of them products\n", instructions, products);
}

__attribute__((constructor)) static void start(void)
{
    struct sigaction act = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGILL, &act, NULL) || atexit(report))
        abort();
}
