/* The only file that reads the environment. */
#include "base/env.h"

#include <stdlib.h>

const char *ds__env_isa(void) { return getenv("DS_ISA"); }
const char *ds__env_dump(void) { return getenv("DS_DUMP"); }
const char *ds__env_passes_off(void) { return getenv("DS_PASSES_OFF"); }
const char *ds__env_models(void) { return getenv("DEEPSEEK_MODELS"); }
const char *ds__env_data_home(void) { return getenv("XDG_DATA_HOME"); }
const char *ds__env_home(void) { return getenv("HOME"); }
