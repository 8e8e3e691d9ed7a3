/* A model folder on disk, understood but not yet made ready to run. */
#ifndef DS_PIPELINE_FOLDER_H
#define DS_PIPELINE_FOLDER_H

#include "models/architecture.h"

typedef struct ds__folder {
    ds__arena arena; /* every text below */
    const char *path;
    const ds__architecture *architecture;
    ds__model_config config;
    ds__weights *weights;
    ds__safetensors *adapter; /* that was merged into them; NULL: none */
    /* From modules.json, 1_Pooling/config.json and sentence_bert_config.json; mean and no normalisation without them.
     */
    bool has_modules;
    const char *pooling_at; /* the folder of the Pooling module's config.json, "1_Pooling"; NULL: none */
    ds_pooling pooling;     /* never AUTO */
    bool normalize;
    int32_t embed_max_tokens; /* where embedding truncates: at most the model's positions */
    ds_model_info info;       /* the same for the user; what it computes in is left to the caller */
} ds__folder;

/* Reads everything but the tokenizer. adapter: a folder as ds__adapter_merge takes it; NULL: none. On failure nothing is
 * left open, `out` need not be closed. */
ds_status ds__folder_open(ds__heap *heap, const char *path, const char *adapter, ds__folder *out,
                          ds_error *error) DS_MUST_CHECK;
void ds__folder_close(ds__folder *folder);

/* Builds what `output` asks for into an empty graph: inputs as in ds__model_builder, one output named "out".
 * pooling and normalize are read for DS_OUTPUT_EMBEDDING only. plan: of the encoder; heads get its `otherwise`. used:
 * see ds__model_builder; may be NULL. */
typedef struct ds__graph_wish {
    ds_output output;
    ds_pooling pooling;
    bool normalize;
    ds__precision_plan plan;
    const ds__training_wish *training; /* NULL: to be run only */
} ds__graph_wish;
/* The same up to the last value, without naming it as an output: what a loss is put on. The builder's values are the
 * graph's inputs. DS_NO_VALUE: the graph's error says why. */
ds_value ds__folder_build(const ds__folder *folder, const ds__graph_wish *wish, ds_graph *graph, bool *used,
                          ds__model_builder *builder);
/* A text's vector, [B, hidden_size], out of the builder's hidden state. */
ds_value ds__folder_pool(ds__model_builder *builder, ds_pooling pooling, bool normalize);
ds_status ds__folder_build_graph(const ds__folder *folder, const ds__graph_wish *wish, ds_graph *graph, bool *used,
                                 ds_error *error) DS_MUST_CHECK;

#endif
