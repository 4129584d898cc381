#include <math.h>

static inline float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

/* pullback of the HM-LSTM cell: z and zb are one row, broadcast; branches are selects */
void hm_lstm(long rows, long columns, const float *restrict c, const float *restrict f, const float *restrict i,
             const float *restrict g, const float *restrict z, const float *restrict zb, const float *restrict ct,
             float *restrict dc, float *restrict df, float *restrict di, float *restrict dg)
{
    for (long r = 0; r < rows; r++) {
#pragma omp simd
        for (long k = 0; k < columns; k++) {
            long q = r * columns + k;
            float F = logistic(f[q]), I = logistic(i[q]), G = tanhf(g[q]), w = ct[q];
            int flush = z[k] == 1.0f, update = zb[k] == 1.0f;
            dc[q] = flush ? 0.0f : (update ? F * w : w);
            df[q] = flush ? 0.0f : (update ? c[q] * F * (1.0f - F) * w : 0.0f);
            di[q] = (flush || update) ? G * I * (1.0f - I) * w : 0.0f;
            dg[q] = (flush || update) ? I * (1.0f - G * G) * w : 0.0f;
        }
    }
}
