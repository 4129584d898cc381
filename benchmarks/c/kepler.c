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
