/* Charts of the report as inline SVG.  Colours and fonts are the page's style sheet's: a series names a class.
 *
 * Whatever the numbers are, what is written is well formed: values that are not finite are left out, and texts that
 * came from data are escaped. */
#ifndef DS_CLI_REPORT_CHART_H
#define DS_CLI_REPORT_CHART_H

#include "cli/cli.h"

/* Appends the text for HTML and SVG, attributes too: markup escaped, bytes that are not UTF-8 or that no page may hold
 * replaced. */
void cli_html_put(ds__buffer *out, ds__str text);
/* The same, cut to so many characters. */
void cli_html_put_cut(ds__buffer *out, ds__str text, size_t most);
/* A number in few characters: "1.25", "0.0003", "5e-5". */
const char *cli_html_number(double value, char out[32]);

typedef struct cli_series {
    const char *color; /* a class: "c1" */
    const char *look;  /* another class: "", "thin", "faint" */
    bool dots;         /* with a mark for each point */
    const double *y;   /* [count]; NAN: a gap */
    const double *x;   /* [count], ascending */
    size_t count;
    const char *name; /* of the marks' tooltips */
} cli_series;

enum { CLI_CHART_LINES = 24 };

/* A vertical line with a word at its top. */
typedef struct cli_mark {
    double x;
    char text[16];
} cli_mark;

typedef struct cli_chart {
    const char *about; /* for readers that do not see it */
    int width, height; /* in the text's pixels; the picture grows and shrinks with its place */
    const cli_series *series;
    size_t count;
    double low, high; /* of y; low == high: found here */
    const cli_mark *marks;
    size_t mark_count;
} cli_chart;
void cli_chart_put(ds__buffer *out, const cli_chart *chart);

/* The range of most values: a share of 1/200 at either end may lie outside. Sorts y. */
void cli_chart_range(double *y, size_t count, double *low, double *high);

/* Parts of a whole side by side, with a legend. */
typedef struct cli_part {
    const char *name, *color;
    double value; /* parts that are not over 0 are left out */
    char text[32];
} cli_part;
void cli_bar_put(ds__buffer *out, const char *about, const cli_part *parts, size_t count);

/* Rows are expected, columns predicted labels; labels: [count] or NULL. With few labels each cell has its count. */
typedef struct cli_matrix {
    const uint32_t *cells; /* [labels, labels] */
    const ds__str *names;  /* [name_count]; others are called by their number */
    size_t labels, name_count;
} cli_matrix;
enum { CLI_MATRIX_NAMED = 30 }; /* as many labels have names and counts in the picture */
void cli_matrix_put(ds__buffer *out, const cli_matrix *matrix);
/* The label's name, or "label 7". */
void cli_matrix_put_name(ds__buffer *out, const cli_matrix *matrix, size_t label, size_t most);

#endif
