#include <string.h>

#define LANES 8

/* several elements side by side: compilers do not vectorise around a loop of steps by themselves */
typedef double lanes __attribute__((vector_size(LANES * sizeof(double))));

typedef struct {
    lanes value, partials[4];
} dual;

static inline dual scaled_sum(dual a, double factor, dual b) /* a + factor b */
{
    dual y = {a.value + factor * b.value};
    for (int p = 0; p < 4; p++)
        y.partials[p] = a.partials[p] + factor * b.partials[p];
    return y;
}

/* slope of the prey: x (a - b y), where a and b are the parameters 0 and 1 */
static inline dual prey_slope(dual x, dual y, const lanes *q)
{
    lanes rate = q[0] - q[1] * y.value, cross = x.value * q[1];
    dual s = {x.value * rate};
    for (int p = 0; p < 4; p++)
        s.partials[p] = x.partials[p] * rate - cross * y.partials[p];
    s.partials[0] += x.value;
    s.partials[1] -= x.value * y.value;
    return s;
}

/* slope of the predators: y (c x - d), where c and d are the parameters 2 and 3 */
static inline dual predator_slope(dual x, dual y, const lanes *q)
{
    lanes rate = q[2] * x.value - q[3], cross = y.value * q[2];
    dual s = {y.value * rate};
    for (int p = 0; p < 4; p++)
        s.partials[p] = y.partials[p] * rate + cross * x.partials[p];
    s.partials[2] += y.value * x.value;
    s.partials[3] -= y.value;
    return s;
}

/* One Runge-Kutta step: each slope is added to the sum as soon as it is known, so that few duals are alive */
static inline void advance(dual *x, dual *y, const lanes *q, double h)
{
    const double ahead[4] = {h / 2, h / 2, h, 0.0}, weight[4] = {h / 6, h / 3, h / 3, h / 6};
    dual xs = *x, ys = *y, xm = *x, ym = *y;
    for (int stage = 0; stage < 4; stage++) {
        dual xk = prey_slope(xm, ym, q), yk = predator_slope(xm, ym, q);
        xs = scaled_sum(xs, weight[stage], xk), ys = scaled_sum(ys, weight[stage], yk);
        xm = scaled_sum(*x, ahead[stage], xk), ym = scaled_sum(*y, ahead[stage], yk);
    }
    *x = xs, *y = ys;
}

/* x(steps h) of Lotka-Volterra by Runge-Kutta steps, and its partials with respect to four parameters */
void lotka_volterra(long n, long steps, double h, const double *restrict a, const double *restrict b, const double *restrict c,
                    const double *restrict d, double *restrict out, double *restrict da, double *restrict db,
                    double *restrict dc, double *restrict dd)
{
    const double *parameters[4] = {a, b, c, d};
    double *partials[4] = {da, db, dc, dd};
    for (long start = 0; start < n; start += LANES) {
        size_t bytes = (n - start < LANES ? n - start : LANES) * sizeof(double);
        lanes q[4] = {0};
        for (int p = 0; p < 4; p++)
            memcpy(&q[p], parameters[p] + start, bytes);
        dual x = {(lanes){0} + 1.0}, y = {(lanes){0} + 0.5};
        for (long step = 0; step < steps; step++)
            advance(&x, &y, q, h);
        memcpy(out + start, &x.value, bytes);
        for (int p = 0; p < 4; p++)
            memcpy(partials[p] + start, &x.partials[p], bytes);
    }
}
