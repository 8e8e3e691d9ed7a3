/* Line charts, bars and the matrix of confusions as SVG text. */
#include "cli/report_chart.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void cli_html_put_cut(ds__buffer *out, ds__str text, size_t most) {
    size_t done = 0;
    for (size_t i = 0; i < text.size; done++) {
        uint32_t code;
        size_t length = ds__utf8_decode(text.data + i, text.size - i, &code);
        if (done == most) {
            ds__buffer_text(out, "\xE2\x80\xA6"); /* an ellipsis */
            return;
        }
        bool control = (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
        if (code == '&')
            ds__buffer_text(out, "&amp;");
        else if (code == '<')
            ds__buffer_text(out, "&lt;");
        else if (code == '>')
            ds__buffer_text(out, "&gt;");
        else if (code == '"')
            ds__buffer_text(out, "&quot;");
        else if (code == '\'')
            ds__buffer_text(out, "&#39;");
        else if (control || code == DS__REPLACEMENT)
            ds__buffer_text(out, "\xEF\xBF\xBD");
        else
            ds__buffer_append(out, text.data + i, length);
        i += length;
    }
}

void cli_html_put(ds__buffer *out, ds__str text) { cli_html_put_cut(out, text, SIZE_MAX); }

/* "5.00e-05" to "5e-5". */
static void shorten_exponent(char *text) {
    char *exponent = strchr(text, 'e'), *to = exponent, *from = exponent + 1;
    if (memchr(text, '.', (size_t)(exponent - text)))
        while (to[-1] == '0') to--;
    if (to[-1] == '.') to--;
    *to++ = 'e';
    if (*from == '-') *to++ = '-';
    from += strspn(from, "+-0");
    memmove(to, from, strlen(from) + 1);
}

const char *cli_html_number(double value, char out[32]) {
    double size = fabs(value);
    bool whole = value == floor(value) && size < 1e15, scientific = size != 0 && (size < 1e-3 || size >= 1e6) && !whole;
    if (!isfinite(value))
        snprintf(out, 32, "-");
    else if (whole)
        snprintf(out, 32, "%.0f", value);
    else
        snprintf(out, 32, scientific ? "%.2e" : "%.4g", value);
    if (strchr(out, 'e')) shorten_exponent(out);
    return out;
}

/* ---- Lines ---- */

enum { LEFT = 56, RIGHT = 14, TOP = 18, BOTTOM = 26, MOST_POINTS = 600, DOTS = 60 };

/* Where the numbers lie in the picture. */
typedef struct frame {
    double x_low, x_high, y_low, y_high;
    int width, height;
} frame;

static double at_x(const frame *f, double x) {
    return LEFT + (x - f->x_low) / (f->x_high - f->x_low) * (f->width - LEFT - RIGHT);
}

/* Values far outside are drawn as a little outside, where the picture is cut off. */
static double at_y(const frame *f, double y) {
    double share = (y - f->y_low) / (f->y_high - f->y_low);
    share = share < -1 ? -1 : share > 2 ? 2 : share;
    return f->height - BOTTOM - share * (f->height - TOP - BOTTOM);
}

static void widen(double *low, double *high) {
    if (*low < *high) return;
    double by = *low != 0 ? fabs(*low) * 0.1 : 1;
    *low -= by;
    *high += by;
}

static frame frame_of(const cli_chart *chart) {
    frame f = {INFINITY, -INFINITY, chart->low, chart->high, chart->width, chart->height};
    bool find = !(chart->low < chart->high);
    if (find) f.y_low = INFINITY, f.y_high = -INFINITY;
    for (size_t s = 0; s < chart->count; s++) {
        const cli_series *series = &chart->series[s];
        for (size_t i = 0; i < series->count; i++) {
            f.x_low = fmin(f.x_low, series->x[i]);
            f.x_high = fmax(f.x_high, series->x[i]);
            if (!find || !isfinite(series->y[i])) continue;
            f.y_low = fmin(f.y_low, series->y[i]);
            f.y_high = fmax(f.y_high, series->y[i]);
        }
    }
    if (!isfinite(f.x_low)) f.x_low = f.x_high = 0;
    if (!isfinite(f.y_low)) f.y_low = f.y_high = 0;
    widen(&f.x_low, &f.x_high);
    widen(&f.y_low, &f.y_high);
    if (!find) return f;
    double margin = (f.y_high - f.y_low) * 0.06;
    f.y_low = f.y_low >= 0 && f.y_low <= 3 * margin ? 0 : f.y_low - margin; /* near 0 the axis begins there */
    f.y_high += margin;
    return f;
}

/* 1, 2 or 5 times a power of ten, so that about `count` of them make the range. */
static double tick_step(double range, int count) {
    double rough = range / count, power = pow(10, floor(log10(rough))), factor = rough / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

static void put_axes(ds__buffer *out, const frame *f) {
    char text[32];
    double y_step = tick_step(f->y_high - f->y_low, f->height > 250 ? 6 : 4);
    double x_step = tick_step(f->x_high - f->x_low, f->width / 90);
    for (int i = 0; i < 20; i++) {
        double y = (ceil(f->y_low / y_step) + i) * y_step;
        if (!(y <= f->y_high)) break;
        if (fabs(y) < y_step * 1e-6) y = 0;
        ds__buffer_printf(out,
                          "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"tick\" x=\"%d\" y=\"%.1f\" "
                          "text-anchor=\"end\">%s</text>",
                          LEFT, at_y(f, y), f->width - RIGHT, LEFT - 8, at_y(f, y) + 4, cli_html_number(y, text));
    }
    for (int i = 0; i < 40; i++) {
        double x = (ceil(f->x_low / x_step) + i) * x_step;
        if (!(x <= f->x_high)) break;
        if (x_step < 1 && x != floor(x)) continue; /* steps are whole */
        ds__buffer_printf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", at_x(f, x),
                          f->height - 8, cli_html_number(x, text));
    }
}

static void put_marks(ds__buffer *out, const frame *f, const cli_chart *chart) {
    for (size_t i = 0; i < chart->mark_count; i++) {
        double x = chart->marks[i].x;
        if (!(x >= f->x_low && x <= f->x_high)) continue;
        bool at_end = at_x(f, x) > f->width - RIGHT - 50;
        ds__buffer_printf(out,
                          "<path class=\"mark\" d=\"M%.1f %dV%d\"/><text class=\"tick\" x=\"%.1f\" y=\"12\" "
                          "text-anchor=\"%s\">",
                          at_x(f, x), TOP, f->height - BOTTOM, at_x(f, x), at_end ? "end" : "middle");
        cli_html_put(out, ds__str_of(chart->marks[i].text));
        ds__buffer_text(out, "</text>");
    }
}

static void put_point(ds__buffer *out, const frame *f, const cli_series *s, size_t i, bool *drawing) {
    if (isfinite(s->y[i]))
        ds__buffer_printf(out, "%c%.1f %.1f", *drawing ? 'L' : 'M', at_x(f, s->x[i]), at_y(f, s->y[i]));
    *drawing = isfinite(s->y[i]);
}

/* Many points are brought to the lowest and highest one of each stretch, which look the same. */
static void put_line(ds__buffer *out, const frame *f, const cli_series *s) {
    bool drawing = false;
    size_t stretches = s->count > 2 * MOST_POINTS ? MOST_POINTS : s->count;
    ds__buffer_printf(out, "<path class=\"line %s %s\" d=\"", s->color, s->look);
    for (size_t k = 0; k < stretches; k++) {
        size_t first = s->count * k / stretches, end = s->count * (k + 1) / stretches, low = first, high = first;
        for (size_t i = first; i < end; i++) {
            if (!isfinite(s->y[low]) || s->y[i] < s->y[low]) low = i;
            if (!isfinite(s->y[high]) || s->y[i] > s->y[high]) high = i;
        }
        put_point(out, f, s, low < high ? low : high, &drawing);
        if (low != high) put_point(out, f, s, low < high ? high : low, &drawing);
    }
    ds__buffer_text(out, "\"/>");
}

static void put_dots(ds__buffer *out, const frame *f, const cli_series *s) {
    char x[32], y[32];
    for (size_t i = 0; i < s->count && s->count <= DOTS; i++) {
        if (!isfinite(s->y[i])) continue;
        ds__buffer_printf(out,
                          "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>%s %s, step %s</title>"
                          "</circle>",
                          s->color, at_x(f, s->x[i]), at_y(f, s->y[i]), s->name ? s->name : "",
                          cli_html_number(s->y[i], y), cli_html_number(s->x[i], x));
    }
}

void cli_chart_put(ds__buffer *out, const cli_chart *chart) {
    frame f = frame_of(chart);
    ds__buffer_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", f.width, f.height,
                      chart->about);
    put_axes(out, &f);
    put_marks(out, &f, chart);
    /* A picture in the picture, since it is cut off at its edges without an id that would have to be unique. */
    ds__buffer_printf(out, "<svg x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\" viewBox=\"0 %d %d %d\">", TOP - 6, f.width,
                      f.height - TOP - BOTTOM + 12, TOP - 6, f.width, f.height - TOP - BOTTOM + 12);
    for (size_t s = 0; s < chart->count; s++) {
        put_line(out, &f, &chart->series[s]);
        if (chart->series[s].dots) put_dots(out, &f, &chart->series[s]);
    }
    ds__buffer_text(out, "</svg></svg>\n");
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void cli_chart_range(double *y, size_t count, double *low, double *high) {
    size_t finite = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(y[i])) y[finite++] = y[i];
    *low = *high = 0;
    if (!finite) return;
    qsort(y, finite, sizeof *y, by_value);
    size_t outside = finite / 200;
    *low = y[outside];
    *high = y[finite - 1 - outside];
    widen(low, high);
    double margin = (*high - *low) * 0.06;
    *low = *low >= 0 && *low <= 3 * margin ? 0 : *low - margin;
    *high += margin;
}

/* ---- Bars ---- */

void cli_bar_put(ds__buffer *out, const char *about, const cli_part *parts, size_t count) {
    enum { WIDTH = 1000, HEIGHT = 60 };
    double whole = 0, x = 0;
    for (size_t i = 0; i < count; i++)
        if (parts[i].value > 0) whole += parts[i].value;
    if (!(whole > 0) || isinf(whole)) return;
    ds__buffer_printf(out,
                      "<svg class=\"bar\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" "
                      "aria-label=\"%s\">",
                      WIDTH, HEIGHT, about);
    for (size_t i = 0; i < count; i++) {
        if (!(parts[i].value > 0)) continue;
        double width = parts[i].value / whole * WIDTH;
        ds__buffer_printf(out,
                          "<rect class=\"%s\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%d\"><title>%s: %s</title>"
                          "</rect>",
                          parts[i].color, x, width, HEIGHT, parts[i].name, parts[i].text);
        x += width;
    }
    ds__buffer_text(out, "</svg>\n<ul class=\"parts\">");
    for (size_t i = 0; i < count; i++)
        if (parts[i].value > 0)
            ds__buffer_printf(out, "<li><i class=\"%s\"></i>%s<b>%s</b><span>%.*f %%</span></li>", parts[i].color,
                              parts[i].name, parts[i].text, parts[i].value / whole < 0.1 ? 1 : 0,
                              100 * parts[i].value / whole);
    ds__buffer_text(out, "</ul>\n");
}

/* ---- Confusions ---- */

void cli_matrix_put_name(ds__buffer *out, const cli_matrix *matrix, size_t label, size_t most) {
    if (label < matrix->name_count)
        cli_html_put_cut(out, matrix->names[label], most);
    else
        ds__buffer_printf(out, "label %zu", label);
}

/* The longest name's characters, at most `most`. */
static size_t longest_name(const cli_matrix *matrix, size_t most) {
    size_t longest = 8;
    for (size_t i = 0; i < matrix->name_count && i < matrix->labels; i++) {
        size_t characters = 0;
        for (size_t b = 0; b < matrix->names[i].size; b++)
            characters += ((unsigned char)matrix->names[i].data[b] & 0xc0) != 0x80;
        longest = characters > longest ? characters : longest;
    }
    return longest < most ? longest : most;
}

/* How the picture is divided; in the text's pixels. */
typedef struct grid {
    double cell;
    int left, bottom;
    bool named;
} grid;

static void put_cells(ds__buffer *out, const cli_matrix *m, const grid *g) {
    for (size_t row = 0; row < m->labels; row++) {
        const uint32_t *cells = m->cells + row * m->labels;
        uint64_t sum = 0;
        for (size_t column = 0; column < m->labels; column++) sum += cells[column];
        for (size_t column = 0; column < m->labels; column++) {
            if (!cells[column]) continue;
            double share = (double)cells[column] / (double)sum, x = g->left + g->cell * (double)column;
            double y = g->cell * (double)row, opacity = 0.1 + 0.9 * sqrt(share);
            ds__buffer_printf(out,
                              "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                              "fill-opacity=\"%.2f\"",
                              row == column ? "right" : "wrong", x, y, g->cell, g->cell, opacity);
            if (!g->named) {
                ds__buffer_text(out, "/>");
                continue;
            }
            ds__buffer_text(out, "><title>");
            cli_matrix_put_name(out, m, row, 60);
            ds__buffer_text(out, " \xE2\x86\x92 "); /* an arrow */
            cli_matrix_put_name(out, m, column, 60);
            ds__buffer_printf(out, ": %" PRIu32 "</title></rect>", cells[column]);
            if (g->cell >= 20)
                ds__buffer_printf(
                    out, "<text class=\"cell%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%" PRIu32 "</text>",
                    opacity > 0.6 ? " on" : "", x + g->cell / 2, y + g->cell / 2 + 4, cells[column]);
        }
    }
}

static void put_names(ds__buffer *out, const cli_matrix *m, const grid *g) {
    double size = g->cell * (double)m->labels;
    for (size_t i = 0; i < m->labels; i++) {
        double middle = g->cell * ((double)i + 0.5);
        ds__buffer_printf(out, "<text class=\"name\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", g->left - 8,
                          middle + 4);
        cli_matrix_put_name(out, m, i, 22);
        ds__buffer_printf(out,
                          "</text><text class=\"name\" text-anchor=\"end\" transform=\"translate(%.1f %.1f) "
                          "rotate(-50)\">",
                          g->left + middle + 4, size + 14);
        cli_matrix_put_name(out, m, i, 22);
        ds__buffer_text(out, "</text>");
    }
}

void cli_matrix_put(ds__buffer *out, const cli_matrix *m) {
    enum { SMALL = 440, CHARACTER = 7 };
    grid g = {.named = m->labels <= CLI_MATRIX_NAMED, .left = 4, .bottom = 4};
    g.cell = (double)SMALL / (double)m->labels;
    if (g.named) {
        size_t longest = longest_name(m, 23);
        g.left = (int)longest * CHARACTER + 14;
        g.bottom = (int)longest * 5 + 22;
        g.cell = g.cell * 1.3 > 52 ? 52 : g.cell * 1.3 < 24 ? 24 : g.cell * 1.3;
    }
    double size = g.cell * (double)m->labels;
    ds__buffer_printf(out,
                      "<svg class=\"matrix\" style=\"max-width:%.0fpx\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
                      "aria-label=\"confusion matrix\"><rect class=\"back\" x=\"%d\" y=\"0\" width=\"%.1f\" "
                      "height=\"%.1f\"/>",
                      g.left + size + 4, g.left + size + 4, size + g.bottom, g.left, size, size);
    put_cells(out, m, &g);
    if (g.named) put_names(out, m, &g);
    ds__buffer_text(out, "</svg>\n");
}
