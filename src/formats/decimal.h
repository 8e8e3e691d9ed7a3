/* Decimal text to floating point and back, for JSON: exact, and the same under every locale. */
#ifndef DS_FORMATS_DECIMAL_H
#define DS_FORMATS_DECIMAL_H

#include "base/str.h"

enum { DS__DECIMAL_F32_SIZE = 24 };

/* text: a number by RFC 8259's grammar, not empty.  The nearest double (ties to even); an infinity where it is too
 * large for one, zero where it is too small.  Only the first 800 significant digits are kept, with a mark whether more
 * followed: no two doubles have a midpoint of more than 767. */
double ds__decimal_read(ds__str text);

/* Writes the fewest digits that read back as the same float, as "%g" would write them; value: finite.  The size; no
 * NUL is written. */
size_t ds__decimal_write_f32(float value, char out[DS__DECIMAL_F32_SIZE]);

#endif
