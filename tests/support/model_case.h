/* The tiny models of tests/data/models with the outputs that PyTorch gave for their texts. */
#ifndef DS_TESTS_MODEL_CASE_H
#define DS_TESTS_MODEL_CASE_H

#include "base/context_internal.h"
#include "deepseek/deepseek.h"
#include "formats/safetensors.h"

typedef struct model_case {
    ds_context *context;
    char folder[512];
    ds__safetensors *expected;
    ds__buffer file;        /* texts.txt or texts.tsv */
    ds_text *texts, *pairs; /* [count]; pairs: NULL when there is no second column */
    size_t count, tokens;
} model_case;

/* Every folder of tests/data/models, in order. */
size_t model_case_count(void);
const char *model_case_name(size_t index);

/* name: a folder of tests/data/models, or a path. */
void model_case_open(model_case *model, ds_context *context, const char *data_folder, const char *model_folder);
void model_case_open_tiny(model_case *model, ds_context *context, const char *name);
void model_case_close(model_case *model);
/* NULL when the models' script did not write it. */
const float *model_case_floats(const model_case *model, const char *name);
const int32_t *model_case_ints(const model_case *model, const char *name);
/* The largest |a - b|. */
double largest_difference(const float *a, const float *b, size_t count);

/* Opens or fails the test with the sentence. */
ds_model *must_open(ds_context *context, const char *folder);
ds_session *must_session(ds_model *model);

/* The folder of the real MiniLM (DS_TEST_MINILM, or where tools/get-minilm puts it), NULL with a printed reason if
 * absent. */
const char *minilm_folder(void);

#endif
