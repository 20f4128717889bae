/* SPDX-License-Identifier: MIT
   A plain parser of the rows "id type x y z ix iy iz": what they cost in C, with no check of anything. */
#include <stddef.h>
#include <stdint.h>

static const double powers[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const char *number(const char *p, double *out) {
  while (*p == ' ') p++;
  int negative = 0, power = 0;
  uint64_t w = 0;
  if (*p == '-') negative = 1, p++;
  while ((unsigned char)(*p - '0') < 10) w = w * 10 + (uint64_t)(*p++ - '0');
  if (*p == '.') {
    p++;
    while ((unsigned char)(*p - '0') < 10) w = w * 10 + (uint64_t)(*p++ - '0'), power--;
  }
  if (*p == 'e') {
    int down = 0, exponent = 0;
    p++;
    if (*p == '-' || *p == '+') down = *p++ == '-';
    while ((unsigned char)(*p - '0') < 10) exponent = exponent * 10 + (*p++ - '0');
    power += down ? -exponent : exponent;
  }
  double value = (double)w;
  value = power < 0 ? value / powers[-power] : value * powers[power];
  *out = negative ? -value : value;
  return p;
}

/* Positions x + n L of an orthogonal cell into (n_frames, n_atoms, 3), by id. */
size_t rows(const char *text, size_t n_atoms, size_t n_frames, double edge, double *positions) {
  const char *p = text;
  for (size_t f = 0; f < n_frames; f++) {
    for (int line = 0; line < 9; line++) {
      while (*p != '\n') p++;
      p++;
    }
    for (size_t row = 0; row < n_atoms; row++) {
      double id, type, v[6];
      p = number(number(p, &id), &type);
      for (int k = 0; k < 6; k++) p = number(p, v + k);
      while (*p != '\n') p++;
      p++;
      double *to = positions + 3 * (f * n_atoms + (size_t)id - 1);
      for (int k = 0; k < 3; k++) to[k] = v[k] + edge * v[k + 3];
    }
  }
  return (size_t)(p - text);
}
