/* The ends of ds_fit; see the header. */
#include "train/finish.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/save.h"
#include "formats/json.h"
#include "train/checkpoint.h"
#include "train/trainer_checkpoint.h"

ds_status ds__finish_check_output(ds__heap *heap, const char *output, bool resume, ds_error *error) {
    int64_t newest;
    size_t count = 0;
    ds__buffer path;
    if (mkdir(output, 0777) != 0 && errno != EEXIST) return ds__file_failed(output, "make the folder", error);
    ds__buffer_init(&path, heap);
    const char *config = ds__path_join(&path, output, "config.json");
    const bool done = config && ds__file_exists(config);
    ds__buffer_deinit(&path);
    if (!config) return ds__alloc_failed(heap, strlen(output) + 16, "a path", error);
    DS_TRY(ds__checkpoint_list(heap, output, &newest, 1, &count, error));
    if (done && !resume)
        return ds__fail(error, DS_INVALID_ARGUMENT, "%s: holds a model already (config.json); choose another folder",
                        output);
    if (count == 0 || resume) return DS_OK;
    return ds__fail(error, DS_INVALID_ARGUMENT,
                    "%s: holds checkpoint-%lld of another run; go on with it (--resume) or choose another folder",
                    output, (long long)newest);
}

static void put_number(ds__json_writer *json, const char *key, double value) {
    ds__json_key(json, key);
    ds__json_put_f32(json, (float)value);
}

static void put_int(ds__json_writer *json, const char *key, int64_t value) {
    ds__json_key(json, key);
    ds__json_put_int(json, value);
}

static void put_text(ds__json_writer *json, const char *key, const char *value) {
    ds__json_key(json, key);
    if (value)
        ds__json_put_string(json, ds__str_of(value));
    else
        ds__json_put_null(json);
}

static void put_settings(ds__json_writer *json, const ds_trainer *trainer, const ds_fit_options *options,
                         int64_t total_steps) {
    static const char *const tasks[] = {"auto", "classification", "multilabel", "regression", "tagging", "embedding"};
    static const char *const losses[] = {"auto",   "cross-entropy",      "bce",    "mse",
                                         "cosine", "in-batch-negatives", "distill"};
    static const char *const schedules[] = {"linear", "cosine", "constant"};
    const ds_trainer_options *o = &trainer->options;
    ds__json_open_object(json);
    put_text(json, "model", trainer->folder.path);
    put_text(json, "adapter", trainer->folder.adapter ? ds__safetensors_path(trainer->folder.adapter) : NULL);
    put_text(json, "train", options->train);
    put_text(json, "eval", options->eval);
    put_text(json, "teacher", options->teacher);
    put_text(json, "keep_texts", options->keep_texts);
    put_text(json, "task", tasks[trainer->info.task]);
    put_text(json, "loss", losses[trainer->info.loss]);
    put_text(json, "optimizer", o->optimizer == DS_OPTIMIZER_SGD ? "sgd" : "adamw");
    put_number(json, "learning_rate", o->learning_rate);
    put_text(json, "schedule", schedules[o->schedule]);
    put_int(json, "warmup_steps", o->warmup_steps);
    put_int(json, "steps", total_steps);
    put_int(json, "batch_size", (int64_t)options->batch_size);
    put_int(json, "gradient_accumulation_steps", (int64_t)options->accumulation);
    put_number(json, "weight_decay", o->weight_decay);
    put_number(json, "max_grad_norm", o->max_grad_norm);
    put_number(json, "label_smoothing", o->label_smoothing);
    put_number(json, "keep_vectors", o->keep_vectors);
    put_number(json, "keep_weights", (double)options->keep_weights);
    ds__json_key(json, "load_best");
    ds__json_put_bool(json, options->load_best);
    put_int(json, "max_tokens", o->max_tokens);
    put_int(json, "seed", (int64_t)o->seed);
    put_text(json, "precision", ds_precision_name(trainer->info.precision));
    put_int(json, "lora_rank", o->lora_rank);
    put_int(json, "micro_batch_tokens", (int64_t)trainer->info.micro_batch_tokens);
    ds__json_key(json, "gradient_checkpointing");
    ds__json_put_bool(json, trainer->info.gradient_checkpointing);
    put_int(json, "threads", ds_context_threads(trainer->context));
    ds__json_close_object(json);
}

ds_status ds__finish_start_log(const ds_trainer *trainer, const ds_fit_options *options, int64_t total_steps,
                               int64_t first_step, ds__run_log **log, ds_error *error) {
    ds__heap *heap = &trainer->context->heap;
    const ds_trainer_info *info = &trainer->info;
    ds__buffer line, path;
    ds__buffer_init(&line, heap);
    ds__buffer_init(&path, heap);
    ds__json_writer json = {&line, false};
    ds__json_open_object(&json);
    put_text(&json, "event", "start");
    put_int(&json, "resumed_at", first_step);
    ds__json_key(&json, "settings");
    put_settings(&json, trainer, options, total_steps);
    ds__json_key(&json, "plan");
    ds__json_open_object(&json);
    put_int(&json, "weights", (int64_t)info->weights);
    put_int(&json, "gradients", (int64_t)info->gradients);
    put_int(&json, "optimizer", (int64_t)info->optimizer);
    put_int(&json, "activations", (int64_t)info->activations);
    put_int(&json, "scratch", (int64_t)info->scratch);
    put_int(&json, "peak", (int64_t)info->peak);
    ds__json_close_object(&json);
    ds__json_key(&json, "labels");
    ds__json_open_array(&json);
    for (int32_t i = 0; i < trainer->folder.config.labels; i++)
        ds__json_put_string(&json, ds__str_of(trainer->folder.config.label_names[i]));
    ds__json_close_array(&json);
    ds__json_close_object(&json);
    const char *name = ds__path_join(&path, options->output, "train_log.jsonl");
    ds_status status = name ? ds__run_log_open(heap, name, first_step, log, error)
                            : ds__alloc_failed(heap, 256, "the log's path", error);
    if (status == DS_OK) status = ds__run_log_put(*log, &line, error);
    ds__buffer_deinit(&path);
    ds__buffer_deinit(&line);
    return status;
}

/* ---- The result ---- */

static void put_figure(ds__buffer *card, const char *name, double value) {
    if (!isnan(value)) ds__buffer_printf(card, "| %s | %.4f |\n", name, value);
}

/* README.md: what it was made of, with which settings, and how good it is. */
static void write_card(const ds_trainer *trainer, const ds_fit_options *options, const ds_fit_result *result,
                       ds__buffer *card) {
    const ds_trainer_options *o = &trainer->options;
    ds__buffer_printf(
        card,
        "---\nlibrary_name: deepseek\n---\n# Fine-tuned %s\n\nFine-tuned with deepseek %s from `%s` on `%s`"
        " (%lld steps; %zu rows could not be used).\n\n## Settings\n\n| setting | value |\n|---|---|\n",
        trainer->folder.config.model_type, ds_version(), trainer->folder.path, options->train, (long long)result->steps,
        result->skipped);
    ds__buffer_printf(card, "| learning rate | %g |\n| weight decay | %g |\n| warm-up steps | %lld |\n",
                      (double)o->learning_rate, (double)o->weight_decay, (long long)o->warmup_steps);
    ds__buffer_printf(card, "| longest text, tokens | %d |\n| seed | %llu |\n| precision of products | %s |\n",
                      o->max_tokens, (unsigned long long)o->seed, ds_precision_name(trainer->info.precision));
    if (o->lora_rank) ds__buffer_printf(card, "| LoRA rank | %d |\n", o->lora_rank);
    ds__buffer_printf(card,
                      "\n## Figures\n\n| figure | value |\n|---|---|\n| loss, first step | %.4f |\n"
                      "| loss, mean of the last ten steps | %.4f |\n",
                      result->first_loss, result->last_loss);
    if (!result->has_eval) return;
    ds__buffer_printf(card, "| texts evaluated | %zu |\n", result->eval.count);
    put_figure(card, "accuracy", result->eval.accuracy);
    put_figure(card, "F1", result->eval.f1);
    put_figure(card, "macro F1", result->eval.f1_macro);
    put_figure(card, "Matthews' correlation", result->eval.mcc);
    put_figure(card, "Pearson's correlation", result->eval.pearson);
    put_figure(card, "Spearman's correlation", result->eval.spearman);
}

static ds_status move(const char *from, const char *to, const char *name, ds__heap *heap, ds_error *error) {
    ds__buffer old_path, new_path;
    ds__buffer_init(&old_path, heap);
    ds__buffer_init(&new_path, heap);
    const char *source = ds__path_join(&old_path, from, name), *target = ds__path_join(&new_path, to, name);
    ds_status status =
        source && target ? DS_OK : ds__alloc_failed(heap, strlen(to) + strlen(name) + 2, "a file's path", error);
    if (status == DS_OK && ds__folder_exists(target)) /* of a run that was killed here */
        status = ds__save_remove(heap, target, error);
    if (status == DS_OK && rename(source, target) != 0) status = ds__file_failed(target, "write", error);
    ds__buffer_deinit(&old_path);
    ds__buffer_deinit(&new_path);
    return status;
}

/* Everything in `from` goes to `to` under its own name; config.json comes last. */
static ds_status move_all(ds__heap *heap, const char *from, const char *to, ds_error *error) {
    DIR *folder = opendir(from);
    if (!folder) return ds__file_failed(from, "open", error);
    ds_status status = DS_OK;
    bool has_config = false;
    for (struct dirent *entry; status == DS_OK && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (strcmp(entry->d_name, "config.json") == 0)
            has_config = true;
        else
            status = move(from, to, entry->d_name, heap, error);
    }
    closedir(folder);
    if (status == DS_OK && has_config) status = move(from, to, "config.json", heap, error);
    if (status == DS_OK && rmdir(from) != 0) status = ds__file_failed(from, "remove", error);
    return status;
}

/* LoRA's adapters in a folder of their own beside the merged result. */
static ds_status save_adapters(ds_trainer *trainer, const char *folder, ds_error *error) {
    static const ds_save_options how = {.adapters = true};
    ds__buffer path;
    ds__buffer_init(&path, &trainer->context->heap);
    const char *adapter = ds__path_join(&path, folder, "adapter");
    ds_status status = adapter ? ds__trainer_save(trainer, adapter, &how, error)
                               : ds__alloc_failed(&trainer->context->heap, strlen(folder) + 16, "a path", error);
    ds__buffer_deinit(&path);
    return status;
}

ds_status ds__finish_save(ds_trainer *trainer, const ds_fit_options *options, const ds_fit_result *result,
                          ds_error *error) {
    ds__heap *heap = &trainer->context->heap;
    ds__buffer path, card;
    ds__buffer_init(&path, heap);
    ds__buffer_init(&card, heap);
    write_card(trainer, options, result, &card);
    ds_save_options how = options->save;
    how.card = ds__buffer_cstr(&card);
    const char *partial = ds__path_join(&path, options->output, DS__FINISH_FOLDER);
    ds_status status = partial && how.card ? DS_OK : ds__alloc_failed(heap, 4096, "the model's card", error);
    if (status == DS_OK && ds__folder_exists(partial)) /* of a run that was killed while it wrote it */
        status = ds__save_remove(heap, partial, error);
    if (status == DS_OK) status = ds__trainer_save(trainer, partial, &how, error);
    if (status == DS_OK && trainer->options.lora_rank && !how.adapters) status = save_adapters(trainer, partial, error);
    ds__buffer_deinit(&card);
    ds__buffer_deinit(&path);
    return status;
}

ds_status ds__finish_appear(ds__heap *heap, const char *output, ds_error *error) {
    ds__buffer path;
    ds__buffer_init(&path, heap);
    const char *partial = ds__path_join(&path, output, DS__FINISH_FOLDER);
    ds_status status = partial ? move_all(heap, partial, output, error) : ds__alloc_failed(heap, 256, "a path", error);
    ds__buffer_deinit(&path);
    return status;
}

/* The process's largest resident size so far; Linux counts it in KiB. */
static int64_t peak_rss_mb(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss / 1024 : 0;
}

ds_status ds__finish_put_times(ds__heap *heap, const ds__finish_times *times, ds__run_log *log, ds_error *error) {
    ds__buffer line;
    ds__buffer_init(&line, heap);
    ds__json_writer json = {&line, false};
    ds__json_open_object(&json);
    put_text(&json, "event", "time");
    put_number(&json, "forward_s", times->forward);
    put_number(&json, "backward_s", times->backward);
    put_number(&json, "optimizer_s", times->optimizer);
    put_number(&json, "data_s", times->data);
    put_number(&json, "eval_s", times->evaluation);
    put_number(&json, "save_s", times->saving);
    ds__json_close_object(&json);
    ds_status status = ds__run_log_put(log, &line, error);
    ds__buffer_deinit(&line);
    return status;
}

static ds_status put_end(ds__heap *heap, const ds_fit_result *result, ds__run_log *log, double seconds,
                         ds_error *error) {
    ds__buffer line;
    ds__buffer_init(&line, heap);
    ds__json_writer json = {&line, false};
    ds__json_open_object(&json);
    put_text(&json, "event", "end");
    put_int(&json, "steps", result->steps);
    put_number(&json, "seconds", seconds);
    put_number(&json, "samples_per_s", result->samples_per_s);
    put_int(&json, "peak_rss_mb", peak_rss_mb());
    ds__json_close_object(&json);
    ds_status status = ds__run_log_put(log, &line, error);
    ds__buffer_deinit(&line);
    return status;
}

ds_status ds__finish_log(const ds_fit_result *result, const ds__finish_times *times, ds__run_log *log, double seconds,
                         ds__heap *heap, ds_error *error) {
    DS_TRY(ds__finish_put_times(heap, times, log, error));
    return put_end(heap, result, log, seconds, error);
}
