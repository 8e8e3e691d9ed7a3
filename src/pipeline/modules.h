/* What sentence-transformers adds to a model folder: modules.json, the Pooling module's configuration, where texts are
 * cut.
 *
 * Read in two steps, because the second compares with config.json, and the first says where that is. */
#ifndef DS_PIPELINE_MODULES_H
#define DS_PIPELINE_MODULES_H

#include "models/architecture.h"

typedef struct ds__modules {
    bool present;           /* modules.json exists and has a Pooling module */
    const char *pooling_at; /* the Pooling module's folder below the model's, "1_Pooling"; NULL: none */
    ds_pooling pooling;     /* mean without a Pooling module */
    bool normalize;
    int32_t max_tokens; /* where embedding truncates, at most the model's positions */
} ds__modules;

/* modules.json: which modules there are. Texts go into the arena. Refuses by name what is not supported. */
ds_status ds__modules_read(ds__arena *arena, const char *folder, ds__modules *modules, ds_error *error) DS_MUST_CHECK;
/* The rest: 1_Pooling/config.json, config_sentence_transformers.json, sentence_bert_config.json, tokenizer_config.json.
 */
ds_status ds__modules_configure(ds__heap *heap, const char *folder, const ds__model_config *config,
                                ds__modules *modules, ds_error *error) DS_MUST_CHECK;

#endif
