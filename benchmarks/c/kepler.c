#include <math.h>

/* Kepler's equation E - e sin E = M by Newton, and dE/dM, dE/de by the implicit function theorem */
void kepler(long n, const double *restrict mean, const double *restrict ecc, double *restrict E, double *restrict dm, double *restrict de)
{
    for (long k = 0; k < n; k++) {
        double e = ecc[k], m = mean[k], x = m, s = 1.0;
        for (int count = 0; fabs(s) > 1e-10 && count < 50; count++) {
            s = (x - e * sin(x) - m) / (1.0 - e * cos(x));
            x -= s;
        }
        double slope = 1.0 / (1.0 - e * cos(x));
        E[k] = x;
        dm[k] = slope;
        de[k] = sin(x) * slope;
    }
}

#define BLOCK 16

/* Apart, because GCC would merge sin and cos of one loop into sincos, which has no vector version */
static inline void sines(const double *restrict x, double *restrict y)
{
#pragma omp simd
    for (int k = 0; k < BLOCK; k++)
        y[k] = sin(x[k]);
}

static inline void cosines(const double *restrict x, double *restrict y)
{
#pragma omp simd
    for (int k = 0; k < BLOCK; k++)
        y[k] = cos(x[k]);
}

/* One step of all elements; returns the largest */
static inline double newton(const double *restrict m, const double *restrict e, double *restrict x)
{
    double sine[BLOCK], cosine[BLOCK], largest = 0.0;
    sines(x, sine);
    cosines(x, cosine);
#pragma omp simd reduction(max : largest)
    for (int k = 0; k < BLOCK; k++) {
        double s = (x[k] - e[k] * sine[k] - m[k]) / (1.0 - e[k] * cosine[k]);
        x[k] -= s;
        largest = fmax(largest, fabs(s));
    }
    return largest;
}

/* The same, vectorised by hand: elements of a block step together until the slowest has converged */
void kepler_in_blocks(long n, const double *restrict mean, const double *restrict ecc, double *restrict E, double *restrict dm, double *restrict de)
{
    for (long start = 0; start < n; start += BLOCK) {
        int size = n - start < BLOCK ? n - start : BLOCK;
        double e[BLOCK] = {0}, m[BLOCK] = {0}, x[BLOCK], sine[BLOCK], cosine[BLOCK];
        for (int k = 0; k < size; k++) {
            e[k] = ecc[start + k];
            m[k] = mean[start + k];
        }
        for (int k = 0; k < BLOCK; k++)
            x[k] = m[k];
        for (int count = 0; newton(m, e, x) > 1e-10 && count < 50; count++)
            ;
        sines(x, sine);
        cosines(x, cosine);
        for (int k = 0; k < size; k++) {
            double slope = 1.0 / (1.0 - e[k] * cosine[k]);
            E[start + k] = x[k];
            dm[start + k] = slope;
            de[start + k] = sine[k] * slope;
        }
    }
}
