/* Finding a folder's tokenizer files, opening and closing. */
#include "base/error.h"
#include "base/file.h"
#include "tokenizer/load.h"

static bool has_file(ds__buffer *path, const char *folder, const char *name) {
    return ds__path_join(path, folder, name) && ds__file_exists(path->data);
}

/* tokenizer.json, mapped while it is read. */
static ds_status open_json(ds__heap *heap, const char *path, ds_tokenizer **out, ds_error *error) {
    ds__file_map map;
    DS_TRY(ds__file_map_open(path, &map, error));
    ds_status status = ds__load_json(heap, path, (ds__str){(const char *)map.data, map.size}, out, error);
    ds__file_map_close(&map);
    return status;
}

/* vocab.txt, and tokenizer_config.json if there is one. */
static ds_status open_vocab(ds__heap *heap, const char *path, const char *config_path, ds_tokenizer **out,
                            ds_error *error) {
    ds__file_map map, config = {NULL, 0};
    DS_TRY(ds__file_map_open(path, &map, error));
    bool has_config = ds__file_exists(config_path);
    ds_status status = has_config ? ds__file_map_open(config_path, &config, error) : DS_OK;
    if (status == DS_OK) {
        ds__str text = {(const char *)map.data, map.size}, settings = {has_config ? "" : NULL, 0};
        if (config.size) settings = (ds__str){(const char *)config.data, config.size};
        status = ds__load_vocab_txt(heap, path, text, config_path, settings, out, error);
        if (has_config) ds__file_map_close(&config);
    }
    ds__file_map_close(&map);
    return status;
}

/* Says what is missing, and what to do about files of other kinds. */
static ds_status nothing_found(ds__buffer *path, const char *folder, ds_error *error) {
    static const struct {
        const char *file, *what;
    } others[] = {
        {"tokenizer.model", "a SentencePiece model"},
        {"spiece.model", "a SentencePiece model"},
        {"sentencepiece.bpe.model", "a SentencePiece model"},
        {"merges.txt", "vocab.json and merges.txt"},
        {"vocab.json", "vocab.json"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (has_file(path, folder, others[i].file))
            return ds__fail(error, DS_UNSUPPORTED,
                            "%s: has %s, expected tokenizer.json or vocab.txt; save the tokenizer "
                            "as tokenizer.json",
                            folder, others[i].what);
    if (!ds__folder_exists(folder)) return ds__fail(error, DS_NOT_FOUND, "%s: no such folder", folder);
    return ds__fail(error, DS_NOT_FOUND, "%s: has neither tokenizer.json nor vocab.txt", folder);
}

ds_status ds__tokenizer_open(ds__heap *heap, const char *folder, ds_tokenizer **out, ds_error *error) {
    ds__buffer path, config_path;
    ds_status status;
    *out = NULL;
    ds__buffer_init(&path, heap);
    ds__buffer_init(&config_path, heap);
    if (has_file(&path, folder, "tokenizer.json"))
        status = open_json(heap, path.data, out, error);
    else if (!path.failed && has_file(&path, folder, "vocab.txt") &&
             ds__path_join(&config_path, folder, "tokenizer_config.json"))
        status = open_vocab(heap, path.data, config_path.data, out, error);
    else if (path.failed || config_path.failed)
        status = ds__alloc_failed(heap, 0, folder, error);
    else
        status = nothing_found(&path, folder, error);
    ds__buffer_deinit(&path);
    ds__buffer_deinit(&config_path);
    return status;
}

int32_t ds__tokenizer_id(const ds_tokenizer *tokenizer, ds__str token) {
    int32_t id = ds__vocab_find(&tokenizer->vocab, token);
    return id >= 0 ? id : ds__vocab_find(&tokenizer->extra, token);
}

ds__str ds__tokenizer_token(const ds_tokenizer *tokenizer, int32_t id) {
    ds__str text = ds__vocab_text(&tokenizer->vocab, id);
    return text.data ? text : ds__vocab_text(&tokenizer->extra, id);
}

void ds__tokenizer_close(ds_tokenizer *tokenizer) {
    if (!tokenizer) return;
    ds__heap *heap = tokenizer->heap;
    for (size_t i = 0; i < tokenizer->presplit.count; i++) ds__pattern_free(tokenizer->presplit.steps[i].pattern);
    ds__free(heap, tokenizer->presplit.steps, tokenizer->presplit.capacity * sizeof *tokenizer->presplit.steps);
    ds__free(heap, tokenizer->normalizer.steps, tokenizer->normalizer.capacity * sizeof *tokenizer->normalizer.steps);
    ds__free(heap, tokenizer->added, tokenizer->added_capacity * sizeof *tokenizer->added);
    ds__bpe_deinit(&tokenizer->bpe, heap);
    ds__vocab_deinit(&tokenizer->vocab);
    ds__vocab_deinit(&tokenizer->extra);
    ds__arena_deinit(&tokenizer->arena);
    ds__free(heap, tokenizer, sizeof *tokenizer);
}
