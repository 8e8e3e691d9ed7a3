/* What mistakes look like: a status to act on, and one sentence for a person.
 *
 *   cc 05_errors.c $(pkg-config --cflags --libs deepseek) -o errors && ./errors */
#include <stdio.h>

#include <deepseek/deepseek.h>

static void show(const char *what, ds_status status, const ds_error *error) {
    printf("%s\n  %s (%s)\n  %s\n\n", what, ds_status_name(status), ds_status_text(status),
           status == DS_OK ? "-" : error->message);
}

int main(void) {
    ds_context *context, *none;
    ds_model *model;
    ds_graph *graph;
    ds_program *program;
    ds_error error;
    ds_context_options many = {.threads = 100000};
    show("Too many threads", ds_context_create(&many, &none, &error), &error);
    if (ds_context_create(NULL, &context, &error) != DS_OK) return 1;
    show("A folder that is not there", ds_model_open(context, "no/such/folder", NULL, &model, &error), &error);

    /* The builder keeps the first mistake, here two shapes that do not fit, and does nothing after it. */
    static const float weights[2 * 4];
    if (ds_graph_create(context, &graph, &error) != DS_OK) return 1;
    ds_value x = ds_graph_input(graph, "x", DS_F32, 2, (ds_dim[]){ds_dim_named(graph, "T"), ds_dim_fixed(3)});
    ds_value w = ds_graph_weight(graph, "w", DS_F32, 2, (int64_t[]){2, 4}, weights);
    ds_value y = ds_graph_linear(graph, x, w, DS_NO_VALUE);
    ds_graph_output(graph, "y", ds_graph_softmax(graph, y));
    show("Shapes that do not fit", ds_graph_compile(graph, &program, &error), &error);
    ds_graph_destroy(graph);

    /* A limit that is too small is refused with both numbers, before the memory is taken. */
    ds_context_options small = {.memory_limit = 100};
    show("A limit that is too small", ds_context_create(&small, &none, &error), &error);
    ds_context_destroy(context);
    return 0;
}
