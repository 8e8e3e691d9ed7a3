/* A graph of one's own: softmax(relu(x W1 + b1) W2), on one's own buffers, for any number of rows.
 *
 *   cc 03_own_graph.c $(pkg-config --cflags --libs deepseek) -o own_graph && ./own_graph */
#include <stdio.h>

#include <deepseek/deepseek.h>

enum { IN = 3, MIDDLE = 4, OUT = 2 };

int main(void) {
    static const float w1[MIDDLE * IN] = {1, 0, 0, 0, 1, 0, 0, 0, 1, -1, -1, -1}, b1[MIDDLE] = {0.1f, 0.2f, 0.3f, 0.4f};
    static const float w2[OUT * MIDDLE] = {1, 0, 1, 0, 0, 1, 0, 1};
    ds_context *context;
    ds_graph *graph;
    ds_program *program;
    ds_error error;
    if (ds_context_create(NULL, &context, &error) != DS_OK || ds_graph_create(context, &graph, &error) != DS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    /* The builder keeps the first mistake; ds_graph_compile reports it. */
    ds_value x = ds_graph_input(graph, "x", DS_F32, 2, (ds_dim[]){ds_dim_named(graph, "T"), ds_dim_fixed(IN)});
    ds_value a = ds_graph_weight(graph, "w1", DS_F32, 2, (int64_t[]){MIDDLE, IN}, w1);
    ds_value b = ds_graph_weight(graph, "b1", DS_F32, 1, (int64_t[]){MIDDLE}, b1);
    ds_value c = ds_graph_weight(graph, "w2", DS_F32, 2, (int64_t[]){OUT, MIDDLE}, w2);
    ds_value hidden = ds_graph_relu(graph, ds_graph_linear(graph, x, a, b));
    ds_graph_output(graph, "y", ds_graph_softmax(graph, ds_graph_linear(graph, hidden, c, DS_NO_VALUE)));
    ds_status status = ds_graph_compile(graph, &program, &error);
    ds_graph_destroy(graph);
    if (status != DS_OK) return fprintf(stderr, "%s\n", error.message), 1;
    printf("After all passes the bias and the activation are part of the product:\n\n%s\n", ds_program_text(program));
    for (int64_t rows = 1; rows <= 2; rows++) { /* one program, any T */
        float in[2 * IN] = {1, 2, 3, -1, 0, 1}, out[2 * OUT];
        ds_binding input = {"x", ds_tensor_dense(DS_F32, 2, (int64_t[]){rows, IN}, in)};
        ds_binding output = {"y", ds_tensor_dense(DS_F32, 2, (int64_t[]){rows, OUT}, out)};
        if (ds_program_run(program, &input, 1, &output, 1, &error) != DS_OK)
            return fprintf(stderr, "%s\n", error.message), 1;
        for (int64_t i = 0; i < rows; i++)
            printf("T = %d, row %d: %.4f %.4f\n", (int)rows, (int)i, (double)out[i * OUT], (double)out[i * OUT + 1]);
    }
    ds_program_destroy(program);
    ds_context_destroy(context);
    return 0;
}
