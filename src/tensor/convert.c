/* Bulk conversion of stored values to float. */
#include "tensor/convert.h"

ds_status ds__widen_to_f32(ds_dtype from, const void *x, float *y, size_t n) {
    const unsigned char *bytes = x;
    switch (from) {
    case DS_F32:
        if (n) memcpy(y, x, n * sizeof *y);
        return DS_OK;
    case DS_F16:
    case DS_BF16:
        for (size_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, bytes + i * sizeof half, sizeof half);
            y[i] = from == DS_F16 ? ds__f16_to_f32(half) : ds__bf16_to_f32(half);
        }
        return DS_OK;
    case DS_F64:
        for (size_t i = 0; i < n; i++) {
            double wide;
            memcpy(&wide, bytes + i * sizeof wide, sizeof wide);
            y[i] = (float)wide;
        }
        return DS_OK;
    default: return DS_UNSUPPORTED;
    }
}
