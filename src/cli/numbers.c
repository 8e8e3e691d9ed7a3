/* Numbers of the command line: all of the text and within the bounds, or a usage error that names both. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

int64_t cli_whole(const char *command, const char *option, const char *text, int64_t low, int64_t high) {
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        exit(cli_usage_error(command, "--%s is \"%s\", expected a whole number from %" PRId64 " to %" PRId64, option,
                             text, low, high));
    return value;
}

double cli_real(const char *command, const char *option, const char *text, double low, double high,
                const char *expected) {
    char *end;
    const double value = strtod(text, &end);
    if (!*text || *end || strpbrk(text, "xX") || !(value >= low && value <= high)) /* strtod reads hexadecimal, too */
        exit(cli_usage_error(command, "--%s is \"%s\", expected %s", option, text, expected));
    return value;
}
