#include <math.h>

/* log density of an exponential distribution with mean t, and its partials */
void exponential(long n, const double *restrict t, const double *restrict x, double *restrict y, double *restrict dt, double *restrict dx)
{
#pragma omp simd
    for (long k = 0; k < n; k++) {
        double r = 1.0 / t[k];
        y[k] = -log(t[k]) - x[k] * r;
        dt[k] = (x[k] * r - 1.0) * r;
        dx[k] = -r;
    }
}
