/* Decimal text to floating point and back. See the header.
 *
 * Both ways have a short path that is exact because every intermediate value fits into a double's 53 bits, and fall back
 * to the C library otherwise.  The C library's decimal point follows the locale, so it is never given one to read, and
 * whatever it writes in its place is replaced. */
#include "formats/decimal.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEPT_DIGITS = 800, EXACT_POWER = 22 };

/* Exact: 5^22 has 52 bits. */
static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A number taken apart: an integer of `count` digits without leading zeros, times 10^exponent. */
typedef struct decimal {
    char digits[KEPT_DIGITS + 32]; /* with room for an exponent behind them */
    int count;
    int64_t exponent;
} decimal;

/* *text: behind the sign.  Leaves it at the exponent's 'e' or at the end. */
static void take_digits(decimal *number, const char **text, const char *end) {
    bool point = false, lost = false;
    const char *c = *text;
    for (; c < end && *c != 'e' && *c != 'E'; c++) {
        if (*c == '.') {
            point = true;
            continue;
        }
        number->exponent -= point;
        if (number->count == 0 && *c == '0') continue;
        if (number->count < KEPT_DIGITS) {
            number->digits[number->count++] = *c;
        } else {
            number->exponent++;
            lost = lost || *c != '0';
        }
    }
    if (lost) { /* a digit behind the kept ones says that the value is a little more */
        number->digits[number->count++] = '1';
        number->exponent--;
    }
    *text = c;
}

static void take_exponent(decimal *number, const char *text, const char *end) {
    int64_t value = 0;
    bool negative = *++text == '-';
    text += *text == '-' || *text == '+';
    for (; text < end; text++)
        if (value < INT64_MAX / 100) value = value * 10 + (*text - '0'); /* more than any text has digits */
    number->exponent += negative ? -value : value;
}

double ds__decimal_read(ds__str text) {
    decimal number;
    const char *c = text.data, *end = c + text.size;
    bool negative = *c == '-';
    number.count = 0;
    number.exponent = 0;
    c += negative;
    take_digits(&number, &c, end);
    if (c < end) take_exponent(&number, c, end);
    double value = 0;
    if (number.count == 0 || number.count + number.exponent < -400) {
        value = 0;
    } else if (number.count + number.exponent > 400) {
        value = INFINITY;
    } else if (number.count <= 15 && number.exponent >= -EXACT_POWER && number.exponent <= EXACT_POWER) {
        /* Both operands are exact, so the one operation rounds once. */
        for (int i = 0; i < number.count; i++) value = value * 10 + (number.digits[i] - '0');
        if (number.exponent < 0)
            value /= powers[-number.exponent];
        else
            value *= powers[number.exponent];
    } else {
        snprintf(number.digits + number.count, sizeof number.digits - (size_t)number.count, "e%d",
                 (int)number.exponent);
        value = strtod(number.digits, NULL);
    }
    return negative ? -value : value;
}

/* m / 10^decimals without trailing zeros. */
static size_t put_fixed(uint32_t m, int decimals, bool negative, char *out) {
    char reversed[DS__DECIMAL_F32_SIZE];
    int count = 0;
    size_t size = 0;
    for (; decimals > 0 && m % 10 == 0; decimals--) m /= 10;
    for (; m || count <= decimals; m /= 10) {
        if (count == decimals && decimals) reversed[size++] = '.';
        reversed[size++] = (char)('0' + m % 10);
        count++;
    }
    if (negative) reversed[size++] = '-';
    for (size_t i = 0; i < size; i++) out[i] = reversed[size - 1 - i];
    return size;
}

/* For 1e-4 <= size < 1e6: size * 10^decimals has at most 24 + 28 bits, so its distance to an integer is exact, and so
 * is the comparison with half the distance to the neighbouring floats.  0: not done. */
static size_t write_short(float value, char *out) {
    double size = fabs((double)value);
    int exponent = -4, power; /* 10^exponent <= size < 10^(exponent + 1) */
    uint32_t bits;
    if (!(size >= 1e-4 && size < 1e6)) return 0;
    while (exponent < 5 && size >= (exponent < -1 ? 1 / powers[-exponent - 1] : powers[exponent + 1])) exponent++;
    memcpy(&bits, &value, sizeof bits);
    double half_step = ldexp(1.0, (int)(bits >> 23 & 0xFF) - 127 - 24);
    bool is_power = (bits & 0x7FFFFF) == 0; /* of two: the float below is nearer */
    for (int digits = 6; digits <= 9; digits++) {
        power = digits - 1 - exponent;
        double scaled = size * powers[power], whole = nearbyint(scaled), off = fabs(whole - scaled);
        if (off == 0 || (!is_power && off < half_step * powers[power]))
            return put_fixed((uint32_t)whole, power, value < 0, out);
    }
    return 0;
}

size_t ds__decimal_write_f32(float value, char out[DS__DECIMAL_F32_SIZE]) {
    char text[40];
    size_t size = write_short(value, out);
    if (size) return size;
    /* 9 digits suffice for every float; fewer than 6 are enough for normal ones where "%.6g" drops trailing zeros. */
    for (int digits = fabsf(value) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    for (const char *c = text; *c && size < DS__DECIMAL_F32_SIZE;) {
        bool kept = (*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || *c == 'e';
        out[size++] = kept ? *c++ : '.';
        if (!kept) /* the locale's point may be more than one byte */
            while (*c && !(*c >= '0' && *c <= '9')) c++;
    }
    return size;
}
