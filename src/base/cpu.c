/* The CPU record: CPUID through the compiler's helper, cache sizes and limits from the kernel. */
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/env.h"

static const char *const isa_names[] = {
#define ISA_NAME(suffix, text) #suffix,
    DS__ISA_LIST(ISA_NAME)
#undef ISA_NAME
};

static const char *const isa_texts[] = {
#define ISA_TEXT(suffix, text) text,
    DS__ISA_LIST(ISA_TEXT)
#undef ISA_TEXT
};

const char *ds__isa_name(ds__isa isa) { return isa_names[isa]; }
const char *ds__isa_text(ds__isa isa) { return isa_texts[isa]; }

static ds__cpu record;
static pthread_once_t record_once = PTHREAD_ONCE_INIT;

/* The n-th text line's value in /proc/cpuinfo that starts with `key`; leaves `out` alone when there is none. */
static void read_cpuinfo(const char *key, char *out, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, key, strlen(key)) != 0 || !colon) continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, size, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        break;
    }
    fclose(file);
}

static size_t positive(long value) { return value > 0 ? (size_t)value : 0; }

#if defined(__x86_64__)
/* clang 14 does not know the name "f16c": CPUID leaf 1, ECX bit 29. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx >> 29 & 1);
}
#endif

static void read_record(void) {
    record.has[DS__ISA_ref] = true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    record.has[DS__ISA_avx2] = avx2;
    record.has[DS__ISA_avx512] = avx512;
    record.has[DS__ISA_avx512vnni] = avx512 && __builtin_cpu_supports("avx512vnni");
    record.has[DS__ISA_avx512bf16] = record.has[DS__ISA_avx512vnni] && __builtin_cpu_supports("avx512bf16");
#endif
    record.cap = DS__ISA_COUNT - 1;
    const char *cap = ds__env_isa();
    for (int isa = 0; cap && isa < DS__ISA_COUNT; isa++)
        if (strcmp(cap, isa_names[isa]) == 0) record.cap = (ds__isa)isa;
    record.l1d_bytes = positive(sysconf(_SC_LEVEL1_DCACHE_SIZE));
    record.l2_bytes = positive(sysconf(_SC_LEVEL2_CACHE_SIZE));
    record.l3_bytes = positive(sysconf(_SC_LEVEL3_CACHE_SIZE));
    snprintf(record.name, sizeof record.name, "unknown CPU");
    read_cpuinfo("model name", record.name, sizeof record.name);
}

const ds__cpu *ds__cpu_get(void) {
    pthread_once(&record_once, read_record);
    return &record;
}

bool ds__cpu_allows(ds__isa isa) {
    const ds__cpu *cpu = ds__cpu_get();
    return cpu->has[isa] && isa <= cpu->cap;
}

/* Reads up to two numbers from a file of the cgroup file system; "max" counts as -1. Returns how many were read. */
static int read_numbers(const char *path, long long out[2]) {
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    char words[2][32];
    int count = fscanf(file, "%31s %31s", words[0], words[1]);
    fclose(file);
    for (int i = 0; i < count; i++) out[i] = strcmp(words[i], "max") == 0 ? -1 : strtoll(words[i], NULL, 10);
    return count < 0 ? 0 : count;
}

/* The quota of the cgroup at `folder` in whole CPUs, rounded up; 0 when there is none. */
static int quota_of(const char *folder) {
    char path[1200];
    long long numbers[2], period[2];
    snprintf(path, sizeof path, "%s/cpu.max", folder); /* version 2: "quota period" */
    if (read_numbers(path, numbers) == 2 && numbers[0] > 0 && numbers[1] > 0)
        return (int)((numbers[0] + numbers[1] - 1) / numbers[1]);
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder); /* version 1 */
    if (read_numbers(path, numbers) < 1 || numbers[0] <= 0) return 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    if (read_numbers(path, period) < 1 || period[0] <= 0) return 0;
    return (int)((numbers[0] + period[0] - 1) / period[0]);
}

/* The smallest quota on the way from the process's own cgroup up to the mount's root; 0: none. */
static int smallest_quota(const char *mount, const char *group) {
    char path[1100];
    int smallest = 0;
    snprintf(path, sizeof path, "%s%s", mount, group);
    for (;;) {
        int quota = quota_of(path);
        if (quota && (!smallest || quota < smallest)) smallest = quota;
        char *slash = strrchr(path, '/');
        if (strlen(path) <= strlen(mount) || !slash) return smallest;
        *slash = '\0';
    }
}

static int cgroup_quota(void) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return 0;
    char line[1024];
    int smallest = 0;
    while (fgets(line, sizeof line, file)) { /* "0::/path" for version 2, "4:cpu,cpuacct:/path" for version 1 */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        bool version2 = controllers[1] == '\0';
        if (!version2 && !strstr(controllers + 1, "cpu")) continue;
        int quota = smallest_quota(version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu", group);
        if (quota && (!smallest || quota < smallest)) smallest = quota;
    }
    fclose(file);
    return smallest;
}

int ds__cpu_count_allowed(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = cgroup_quota();
    if (quota && quota < count) count = quota;
    return count < 1 ? 1 : count;
}
