/* The pass driver, and what the fusing passes share. */
#include <stdio.h>

#include "base/context_internal.h"
#include "base/error.h"
#include "passes/pass.h"

static const ds__pass passes[] = {
#define DS_PASS(name, about) {#name, about, ds__pass_##name},
#include "passes/passes.def"
#undef DS_PASS
};

size_t ds__pass_count(void) { return sizeof passes / sizeof *passes; }
ds__pass ds__pass_at(size_t index) { return passes[index]; }

/* Whether `word` is one of the comma-separated words of `list`. */
static bool is_listed(const char *list, const char *word) {
    size_t length = strlen(word);
    while (list && *list) {
        size_t item = strcspn(list, ",");
        if (item == length && memcmp(list, word, length) == 0) return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* Logs the graph line by line: a sink takes one line at a time. */
static void dump(const ds_graph *graph, const char *when, const char *pass) {
    ds__buffer text;
    ds__buffer_init(&text, &graph->context->heap);
    ds__graph_print(graph, &text);
    const char *line = ds__buffer_cstr(&text);
    ds__log(graph->context, DS_LOG_INFO, "%s %s:", when, pass);
    while (line && *line) {
        size_t length = strcspn(line, "\n");
        ds__log(graph->context, DS_LOG_INFO, "%.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    ds__buffer_deinit(&text);
}

static void dump_if_asked(const ds_graph *graph, const char *list, const char *when, const char *pass) {
    char word[64];
    snprintf(word, sizeof word, "%s:%s", when, pass);
    if (is_listed(list, word)) dump(graph, when, pass);
}

ds_status ds__passes_run(ds_graph *graph, const ds__pass_options *options, ds_error *error) {
    DS_TRY(ds__graph_verify(graph, error));
    for (size_t i = 0; i < ds__pass_count(); i++) {
        const ds__pass *pass = &passes[i];
        if (is_listed(options->off, pass->name) || is_listed(options->off, "all")) continue;
        dump_if_asked(graph, options->dump, "before", pass->name);
        DS_TRY(pass->run(graph, error));
        ds_status status = ds__graph_verify(graph, error);
        if (status != DS_OK) return ds__fail_in(error, status, "after pass %s", pass->name);
        dump_if_asked(graph, options->dump, "after", pass->name);
    }
    return DS_OK;
}

ds_status ds__pass_out_of_memory(const ds_graph *graph, ds_error *error) {
    return ds__alloc_failed(&graph->context->heap, sizeof(ds__node), "rewriting a graph", error);
}

int32_t ds__pass_sole_producer(const ds_graph *graph, int32_t value) {
    if (value < 0 || graph->values[value].kind != DS__VALUE_TEMPORARY || ds__graph_uses(graph, value) != 1) return -1;
    return ds__graph_producer(graph, value);
}

int32_t ds__pass_sole_linear(const ds_graph *graph, int32_t value) {
    int32_t producer = ds__pass_sole_producer(graph, value);
    return producer >= 0 && graph->nodes[producer].op == &ds__op_linear ? producer : -1;
}

void ds__pass_absorb(ds_graph *graph, size_t from, size_t to) {
    ds__node node = graph->nodes[from];
    node.outputs[0] = graph->nodes[to].outputs[0];
    graph->nodes[to] = node;
    ds__graph_remove(graph, from);
}
