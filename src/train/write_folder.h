/* Writing a trained model as Hugging Face stores it: config.json, model.safetensors, the tokenizer's files, a card. */
#ifndef DS_TRAIN_WRITE_FOLDER_H
#define DS_TRAIN_WRITE_FOLDER_H

#include "deepseek/train.h"
#include "pipeline/folder.h"
#include "train/checkpoint.h"

typedef struct ds__folder_content {
    const ds__folder *source; /* what was trained: its config.json is the base, its tokenizer's files, modules.json and
                               * sub-folders (1_Pooling) are copied */
    const ds__kept_tensor *tensors; /* under the names they are to have */
    size_t tensor_count;
    /* For a model with a head; labels 0: the configuration's own keys stay.  class_name:
     * "BertForSequenceClassification"; problem_type, num_labels, id2label and label2id are replaced. */
    const char *class_name;
    int32_t labels;
    const char *const *label_names;
    ds_problem problem;
    bool embeds;         /* with a head: the vectors are meant to be used, too */
    ds_save_dtype dtype; /* INT8: as ds_model_quantize would write the F32 folder */
    const char *card;    /* NULL: none; a README.md of the source is not copied */
} ds__folder_content;

/* `path` as in ds__save_begin. A quantization_config of the source is dropped unless dtype is INT8, torch_dtype/dtype
 * says what is stored. transformers must load the folder with the same logits. */
ds_status ds__folder_write(ds_context *context, const char *path, const ds__folder_content *content,
                           ds_error *error) DS_MUST_CHECK;

/* LoRA adapters in PEFT's format (adapter_config.json, adapter_model.safetensors): loadable by peft's
 * PeftModel.from_pretrained(base, path).  Module names are those of the model class ("bert.encoder.layer.0.attention.
 * self.query"); tensors are named base_model.model.MODULE.lora_A.weight [rank, in] and lora_B.weight [out, rank];
 * trained heads go to modules_to_save (base_model.model.classifier.weight). */
typedef struct ds__adapter_content {
    const char *base_name; /* base_model_name_or_path */
    int32_t rank;
    float alpha;
    const char *const *targets; /* names of modules, last parts: "query", "value" */
    size_t target_count;
    const char *const *saved_modules; /* "classifier" */
    size_t saved_count;
    const char *task_type;          /* "SEQ_CLS", "TOKEN_CLS", "FEATURE_EXTRACTION" */
    const ds__kept_tensor *tensors; /* already under peft's names */
    size_t tensor_count;
} ds__adapter_content;
ds_status ds__adapter_write(ds_context *context, const char *path, const ds__adapter_content *content,
                            ds_error *error) DS_MUST_CHECK;

#endif
