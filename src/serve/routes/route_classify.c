/* Texts to labels: {"model", "input"} in, a list of {"label", "score"} for each text out, the best first. */
#include <stdio.h>

#include "pipeline/scores.h"
#include "serve/routes/text_input.h"

/* A label's place, for sorting by score. */
typedef struct choice {
    const char *label;
    float score;
} choice;

static void sort(choice *choices, size_t count) { /* few, and mostly far apart */
    for (size_t i = 1; i < count; i++) {
        choice moved = choices[i];
        size_t at = i;
        for (; at > 0 && choices[at - 1].score < moved.score; at--) choices[at] = choices[at - 1];
        choices[at] = moved;
    }
}

static void put_rows(ds__json_writer *json, const ds__serve_tensor *logits, const ds__serve_description *about,
                     choice *choices, float *scores) {
    size_t labels = (size_t)about->info->labels;
    for (int64_t row = 0; row < logits->shape[0]; row++) {
        ds__scores_of_logits(about->info, (const float *)logits->data + (size_t)row * labels, scores);
        for (size_t c = 0; c < labels; c++) choices[c] = (choice){about->class_labels[c], scores[c]};
        sort(choices, labels);
        ds__json_open_array(json);
        for (size_t c = 0; c < labels; c++) {
            ds__json_open_object(json);
            ds__put_text(json, "label", ds__str_of(choices[c].label));
            ds__json_key(json, "score");
            ds__json_put_f32(json, choices[c].score);
            ds__json_close_object(json);
        }
        ds__json_close_array(json);
    }
}

static void answer(ds__http_call *call, ds__serve_request *r) {
    const ds__serve_description *about = call->own;
    size_t labels = (size_t)about->info->labels;
    choice *choices = ds__arena_alloc(&r->arena, labels * sizeof *choices);
    float *scores = ds__arena_alloc(&r->arena, labels * sizeof *scores);
    if (!choices || !scores) {
        ds__http_fail(call, 503, "no memory is left for the answer");
        return;
    }
    ds__json_writer json = {&call->out, false};
    ds__json_open_object(&json);
    ds__put_text(&json, "model", r->model);
    ds__json_key(&json, "data");
    ds__json_open_array(&json);
    put_rows(&json, &r->results[0], about, choices, scores);
    ds__json_close_array(&json);
    ds__put_usage(&json, r);
    ds__json_close_object(&json);
    ds__http_send(call, 200, NULL);
}

static void classify(ds__http_call *call) {
    static const ds__str wanted[] = {{"logits", 6}};
    ds__text_input in = {0};
    ds__json json;
    ds_error error;
    ds__serve_request *r = ds__http_request(call, (ds__str){"", 0}, (ds__str){"", 0});
    if (!r) return;
    ds__json_init(&json, call->heap, "the body", call->body);
    for (ds__str key; ds__json_next_key(&json, &key);)
        if (!ds__text_input_member(&json, key, &in)) ds__json_skip(&json);
    ds__str model = ds__keep_text(call, &r->arena, in.model);
    if (!ds__finish_body(call, &json)) return;
    r->model = call->model = model;
    ds__serve_description *about = ds__arena_alloc(&r->arena, sizeof *about);
    if (!about) {
        ds__http_fail(call, 503, "no memory is left for the request");
        return;
    }
    if (!ds__http_may_see(call, model)) return;
    ds__serve_code code = ds__serve_describe(call->service, model, (ds__str){"", 0}, &r->arena, about, &error);
    if (code != DS__SERVE_OK) {
        ds__http_refuse(call, code, &error, 1);
        return;
    }
    if (!about->class_labels) {
        ds__http_fail(call, 400, "the model has no labels; /v1/embeddings makes vectors of it");
        return;
    }
    /* The version that was described is the one that must answer, whatever becomes current meanwhile. */
    char *version = ds__arena_alloc(&r->arena, 32);
    if (version) r->version = (ds__str){version, (size_t)snprintf(version, 32, "%lld", (long long)about->version)};
    call->own = about;
    r->outputs = wanted;
    r->output_count = 1;
    if (version && ds__text_input_read(call, &in, false, r)) ds__http_infer(call, answer);
    if (!version) ds__http_fail(call, 503, "no memory is left for the request");
}

const ds__route ds__route_classify = {
    .method = "POST",
    .path = "/v1/classify",
    .access = DS__ACCESS_TENANT,
    .handle = classify,
    .summary = "Texts to labels with scores",
    .needs_body = true,
    .request =
        "{\"type\":\"object\",\"required\":[\"model\",\"input\"],\"properties\":{\"model\":{\"type\":\"string\"},"
        "\"input\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"minItems\":1,\"maxItems\":2048,"
        "\"items\":{\"type\":\"string\"}}]},\"truncate\":{\"type\":\"boolean\"}}}",
    .response = "{\"type\":\"object\",\"required\":[\"model\",\"data\",\"usage\"],\"properties\":{\"model\":{\"type\":"
                "\"string\"},\"data\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
                "\"required\":[\"label\",\"score\"]}}},\"usage\":{\"type\":\"object\"}}}"};
