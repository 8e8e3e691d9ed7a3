/* Writing LoRA adapters as PEFT stores them. */
#include "base/context_internal.h"
#include "base/error.h"
#include "base/save.h"
#include "formats/json.h"
#include "train/write_folder.h"
#include "train/write_tensors.h"

static void put_text(ds__json_writer *json, const char *key, const char *text) {
    ds__json_key(json, key);
    ds__json_put_string(json, ds__str_of(text));
}

static void put_flag(ds__json_writer *json, const char *key, bool value) {
    ds__json_key(json, key);
    ds__json_put_bool(json, value);
}

static void put_names(ds__json_writer *json, const char *key, const char *const *names, size_t count) {
    ds__json_key(json, key);
    ds__json_open_array(json);
    for (size_t i = 0; i < count; i++) ds__json_put_string(json, ds__str_of(names[i]));
    ds__json_close_array(json);
}

/* The members that decide how the adapters are put on; PEFT has defaults for all others. */
static void describe(const ds__adapter_content *content, ds__buffer *out) {
    ds__json_writer json = {out, false};
    ds__json_open_object(&json);
    put_text(&json, "peft_type", "LORA");
    put_text(&json, "task_type", content->task_type);
    put_text(&json, "base_model_name_or_path", content->base_name);
    ds__json_key(&json, "r");
    ds__json_put_int(&json, content->rank);
    ds__json_key(&json, "lora_alpha");
    ds__json_put_f32(&json, content->alpha);
    ds__json_key(&json, "lora_dropout");
    ds__json_put_int(&json, 0);
    put_names(&json, "target_modules", content->targets, content->target_count);
    if (content->saved_count) {
        put_names(&json, "modules_to_save", content->saved_modules, content->saved_count);
    } else {
        ds__json_key(&json, "modules_to_save");
        ds__json_put_null(&json);
    }
    put_text(&json, "bias", "none");
    put_flag(&json, "fan_in_fan_out", false);
    put_flag(&json, "inference_mode", true);
    put_flag(&json, "init_lora_weights", true);
    ds__json_close_object(&json);
    ds__buffer_put(out, '\n');
}

static ds_status write_files(ds__save *save, const ds__adapter_content *content, ds_error *error) {
    ds__buffer config;
    ds__buffer_init(&config, save->heap);
    describe(content, &config);
    ds_status status = config.failed ? ds__alloc_failed(save->heap, config.size, "adapter_config.json", error)
                                     : ds__save_text(save, "adapter_config.json", ds__buffer_str(&config), error);
    ds__buffer_deinit(&config);
    DS_TRY(status);
    return ds__tensors_write(save, "adapter_model.safetensors", content->tensors, content->tensor_count,
                             DS_SAVE_FLOAT32, NULL, error);
}

ds_status ds__adapter_write(ds_context *context, const char *path, const ds__adapter_content *content,
                            ds_error *error) {
    ds__save save;
    DS_TRY(ds__save_begin(&context->heap, path, &save, error));
    ds_status status = write_files(&save, content, error);
    if (status == DS_OK) return ds__save_finish(&save, error);
    ds__save_abandon(&save);
    return status;
}
