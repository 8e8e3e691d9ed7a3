/* The only place that reads environment variables.  DS_* are for people who debug or measure; the others say where the
 * program, never the library, looks for models by name. */
#ifndef DS_BASE_ENV_H
#define DS_BASE_ENV_H

/* DS_ISA: caps the instruction set: "ref", "avx2", "avx512", ...; NULL when unset. */
const char *ds__env_isa(void);
/* DS_DUMP: comma-separated "after:PASS" or "before:PASS"; which graphs the session's pass driver logs. */
const char *ds__env_dump(void);
/* DS_PASSES_OFF: comma-separated pass names that are skipped, or "all". */
const char *ds__env_passes_off(void);
/* DEEPSEEK_MODELS: folders with models by name, colons between them; NULL when unset, as the next two. */
const char *ds__env_models(void);
/* XDG_DATA_HOME, and HOME for where that is when unset (XDG Base Directory Specification). */
const char *ds__env_data_home(void);
const char *ds__env_home(void);

#endif
