/* The only place that reads environment variables.  All of them are for people who debug or measure. */
#ifndef DS_BASE_ENV_H
#define DS_BASE_ENV_H

/* DS_ISA: caps the instruction set: "ref", "avx2", "avx512", ...; NULL when unset. */
const char *ds__env_isa(void);
/* DS_DUMP: comma-separated "after:PASS" or "before:PASS"; which graphs the session's pass driver logs. */
const char *ds__env_dump(void);
/* DS_PASSES_OFF: comma-separated pass names that are skipped, or "all". */
const char *ds__env_passes_off(void);

#endif
