/* The progress bar. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { WAIT_MS = 2000, INTERVAL_MS = 200, WIDTH = 30, LEAST_WIDTH = 6 };
#define CLEAR_REST " \x1b[K" /* of a line that was longer before */

void cli_progress_start(cli_progress *progress, const char *unit, size_t total) {
    *progress = (cli_progress){.unit = unit, .total = total, .started_ns = ds__clock_ns(), .terminal = isatty(2) == 1};
}

/* Columns of the terminal; a bar over its edge would leave a line behind each time. */
static int columns(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void cli_progress_draw(double share, const char *text) {
    int width = columns() - 2, room = width - 3 - (int)strlen(text), size = room < WIDTH ? room : WIDTH;
    share = share > 1 ? 1 : share; /* a file may lack its last newline, or have grown */
    fputc('\r', stderr);
    if (share > 0 && size >= LEAST_WIDTH) {
        char bar[WIDTH + 1];
        memset(bar, '.', (size_t)size);
        memset(bar, '#', (size_t)(size * share));
        bar[size] = '\0';
        fprintf(stderr, "[%s] ", bar);
    }
    fprintf(stderr, "%.*s" CLEAR_REST, width, text);
}

void cli_progress_clear(void) { fprintf(stderr, "\r\x1b[K"); }

static void show(cli_progress *progress, uint64_t now) {
    double seconds = (double)(now - progress->started_ns) * 1e-9, rate = (double)progress->done / seconds, share = 0;
    char text[160];
    if (progress->total)
        share = (double)progress->done / (double)progress->total;
    else if (progress->bytes_total)
        share = (double)progress->bytes_done / (double)progress->bytes_total;
    progress->shown_ns = now;
    int size = snprintf(text, sizeof text, "%zu %s, %.*f/s", progress->done, progress->unit, rate < 10 ? 1 : 0, rate);
    if (share > 0 && size > 0 && (size_t)size < sizeof text)
        snprintf(text + size, sizeof text - (size_t)size, ", %.0f s left",
                 seconds * (share < 1 ? 1 - share : 0) / share);
    cli_progress_draw(share, text);
}

void cli_progress_add(cli_progress *progress, size_t done) {
    progress->done += done;
    uint64_t now = progress->terminal ? ds__clock_ns() : 0;
    if (progress->terminal && now - progress->started_ns > WAIT_MS * UINT64_C(1000000) &&
        now - progress->shown_ns > INTERVAL_MS * UINT64_C(1000000))
        show(progress, now);
}

void cli_progress_end(cli_progress *progress) {
    if (progress->shown_ns) cli_progress_clear();
}
