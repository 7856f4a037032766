/* Sines, arc tangents, logarithms and powers in integers: no host's x87 decides their last digit.
 *
 * Each is worked out to about 120 binary digits and then rounded as the guest's control word says: the result is the nearest number, or
 * the next one in a direction, but for one operand in 2^50. An angle is reduced by the processors' own pi of 66 digits (Intel's manual,
 * volume 1, 8.3.8). What is no number, infinite, zero or out of range is left to the host's instruction: that rounds nothing. */

typedef unsigned __int128 u128;

/* (mantissa / 2^127) * 2^power, negative or not. The mantissa's first digit is a one, or it is 0. exact: no more digits follow. */
typedef struct { u128 mantissa; int power, negative, exact; } wide;

#define BITS(high, low) ((u128) high << 64 | low)
/* Fixed numbers: 2^127 is one. */
static const u128 ONE = BITS(0x8000000000000000, 0), ARC_OF_HALF = BITS(0x3b58ce0ac3769ed1, 0x5bf9117b2f0ea340),
    ROOT_OF_2 = BITS(0xb504f333f9de6484, 0x597d89b3754abe9f);
static const wide TWICE_LOG2_E = { BITS(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88), 1, 0, 0 },
    LN_2 = { BITS(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af), -1, 0, 0 }, PI = { BITS(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1), 1, 0, 0 };
/* Half of the processors' pi, times 2^65. */
static const u128 RIGHT_ANGLE = BITS(3, 0x243f6a8885a308d3);
/* Instead of the exceptions: the host's instruction does it. */
enum { HOSTS = 0xffff };
enum { OVERFLOW = 8, UNDERFLOW = 16, BIAS = 0x3fff, LARGEST = 0x7fff, WRAP = 24576 };

static inline u128 high(u128 a, u128 b) {
    u64 a1 = a >> 64, a0 = a, b1 = b >> 64, b0 = b;
    u128 one = (u128) a1 * b0, other = (u128) a0 * b1;
    return (u128) a1 * b1 + (one >> 64) + (other >> 64) + (((u128) (u64) one + (u64) other + ((u128) a0 * b0 >> 64)) >> 64);
}

/* Of fixed numbers, where the result is one too. */
static inline u128 times(u128 a, u128 b) { return high(a, b) << 1; }

static inline u128 over(u128 a, u64 n) {
    u64 first = a >> 64, rest = first % n, low = a;
    __asm__("divq %[n]" : "+a"(low), "+d"(rest) : [n] "r"(n) : "cc");
    return (u128) (first / n) << 64 | low;
}

static wide normalized(u128 mantissa, int power, int negative) {
    if (!mantissa) return (wide) { 0, -0x10000, negative, 1 };
    int zeros = mantissa >> 64 ? __builtin_clzl(mantissa >> 64) : 64 + __builtin_clzl(mantissa);
    return (wide) { mantissa << zeros, power - zeros, negative, 1 };
}

static inline u128 shifted(u128 a, int right) { return right < 128 ? a >> right : 0; }
/* Of a number up to 1. */
static inline u128 fixed(wide a) { return shifted(a.mantissa, -a.power); }

static wide product(wide a, wide b) {
    u128 mantissa = high(a.mantissa, b.mantissa);
    int carry = mantissa >> 127;
    return (wide) { mantissa << !carry, a.power + b.power + carry, a.negative ^ b.negative, a.exact & b.exact };
}

static wide quotient(wide a, wide b) {
    u128 rest = a.mantissa, found = 0;
    int power = a.power - b.power, carry = 0;
    if (rest < b.mantissa) carry = rest >> 127, rest <<= 1, power--;
    for (int n = 0; n < 128; n++) {
        int fits = carry || rest >= b.mantissa;
        found = found << 1 | fits;
        if (fits) rest -= b.mantissa;
        carry = rest >> 127, rest <<= 1;
    }
    return (wide) { found, power, a.negative ^ b.negative, !rest && !carry };
}

/* What is a little less than 1 must not be 1: it may be rounded down. */
static inline u128 below_one(u128 a) { return a == ONE ? ONE - 1 : a; }

/* The sine of an angle over the angle (1), or its cosine (0), from its square. */
static u128 circular(u128 square, int sine) {
    u128 sum = ONE;
    for (int n = 32; n; n -= 2) sum = ONE - over(times(square, sum), n * (sine ? n + 1 : n - 1));
    return below_one(sum);
}

/* 1 + s/3 + s*s/5 + ..., or with alternating signs, as far as 1/last. */
static u128 of_odds(u128 s, int last, int alternate) {
    u128 sum = 0;
    for (; last > 0; last -= 2) sum = over(ONE, last) + (alternate ? -times(s, sum) : times(s, sum));
    return alternate ? below_one(sum) : sum;
}

/* Rounds as the control word says; gives exceptions, and C1 where it was rounded up. Processors tell an inexact result here always. */
static u16 rounded(const state *e, wide value, ten *into) {
    int way = e->control >> 10 & 3, exponent = value.power + BIAS;
    u64 kept, rest, all = value.negative << 15;
    u16 found = 0;
    int up = 0;
#define ROUND() (kept = value.mantissa >> 64, rest = (u64) value.mantissa | !value.exact, \
    up = way == 0 ? rest > 1UL << 63 || (rest == 1UL << 63 && kept & 1) : rest && way == (value.negative ? 1 : 2))
    ROUND();
    /* Whether it is tiny is seen once it is rounded. */
    if (exponent < 0 || (exponent == 0 && !(up && kept == ~0UL))) found = UNDERFLOW;
    if (found & ~e->control) exponent += WRAP;
    else if (exponent <= 0) {
        u128 shorter = shifted(value.mantissa, 1 - exponent);
        if (exponent < -126 || shorter << (1 - exponent) != value.mantissa) value.exact = 0;
        value.mantissa = shorter;
        exponent = 0;
        ROUND();
    }
    kept += up;
    if (up && !kept) kept = 1UL << 63, exponent++;
    if (!exponent && kept >> 63) exponent = 1;
    if (exponent >= LARGEST) {
        found |= OVERFLOW;
        if (~e->control & OVERFLOW) exponent -= WRAP;
        else {
            up = way == 0 || way == (value.negative ? 1 : 2);
            kept = up ? 1UL << 63 : ~0UL;
            exponent = up ? LARGEST : LARGEST - 1;
        }
    }
    *into = (ten) { kept, all | exponent };
    return found | INEXACT | (up ? C1 : 0);
}

static inline int is_finite(const ten *a) { int power = a->high & LARGEST; return power != LARGEST && (!power || a->low >> 63); }
static inline int is_zero(const ten *a) { return !(a->high & LARGEST) && !a->low; }
static inline int is_denormal(const ten *a) { return !(a->high & LARGEST) && a->low; }
static inline int is_infinite(const ten *a) { return (a->high & LARGEST) == LARGEST && a->low == 1UL << 63; }

static inline wide wide_of(const ten *a) {
    int power = a->high & LARGEST;
    return normalized((u128) a->low << 64, (power ? power : 1) - BIAS, a->high >> 15);
}

/* For a function of an ordinary number: what is found, and the end where that is an exception that is unmasked. */
#define BEGIN(operand, denormal) \
    if (!is_finite(operand) || is_zero(operand)) return HOSTS; \
    u16 found = denormal ? DENORMAL : 0; \
    if (is_unmasked(e, found)) { *into = *(operand); return found; }

/* An angle less multiples of a right one, at most half of one, its square, and how many of them. */
typedef struct { wide rest; u128 square; int right_angles; } angle;

static angle reduced(wide a) {
    u128 rest = a.mantissa >> 64;
    int count = 0;
    a.negative = 0;
    if (a.power >= -1) {
        for (int n = a.power + 2; n; n--) {
            rest <<= 1, count <<= 1;
            if (rest >= RIGHT_ANGLE) rest -= RIGHT_ANGLE, count++;
        }
        int beyond = rest << 1 > RIGHT_ANGLE;
        a = normalized(beyond ? RIGHT_ANGLE - rest : rest, 127 - 65, beyond);
        count += beyond;
    }
    return (angle) { a, times(fixed(a), fixed(a)), count & 3 };
}

/* The sine of an angle so many right ones further. */
static wide sine(const angle *a, int further) {
    int count = a->right_angles + further;
    wide found = count & 1 ? normalized(circular(a->square, 0), 0, 0)
        : product(a->rest, (wide) { circular(a->square, 1) << 1, -1, 0, 0 });
    found.negative ^= count >> 1 & 1;
    found.exact = 0;
    return found;
}

static inline int is_out_of_range(const ten *a) { return (a->high & LARGEST) >= BIAS + 63; }

static u16 fsin_of(const state *e, const ten *a, ten *into) {
    BEGIN(a, is_denormal(a));
    if (is_out_of_range(a)) return HOSTS;
    angle x = reduced(wide_of(a));
    wide found_sine = sine(&x, 0);
    found_sine.negative ^= a->high >> 15;
    return found | rounded(e, found_sine, into);
}

static u16 fcos_of(const state *e, const ten *a, ten *into) {
    BEGIN(a, is_denormal(a));
    if (is_out_of_range(a)) return HOSTS;
    angle x = reduced(wide_of(a));
    return found | rounded(e, sine(&x, 1), into);
}

/* into: what is pushed. */
static u16 fsincos_of(const state *e, const ten *a, ten *into, ten *below) {
    u16 first = fsin_of(e, a, below);
    return first == HOSTS || is_unmasked(e, first & DENORMAL) ? first : first | (fcos_of(e, a, into) & ~C1);
}

static u16 fptan_of(const state *e, const ten *a, ten *into, ten *below) {
    BEGIN(a, is_denormal(a));
    if (is_out_of_range(a)) return HOSTS;
    angle x = reduced(wide_of(a));
    wide tangent = quotient(sine(&x, 0), sine(&x, 1));
    tangent.negative ^= a->high >> 15;
    tangent.exact = 0;
    *into = (ten) { 1UL << 63, BIAS };
    return found | rounded(e, tangent, below);
}

/* A power of two less 1. What is beyond 1 stays, as on processors of both makers. */
static u16 f2xm1_of(const state *e, const ten *a, ten *into) {
    BEGIN(a, is_denormal(a));
    wide x = wide_of(a);
    if (x.power >= 0) {
        *into = *a;
        if (x.negative && !x.power && x.mantissa == ONE) into->high--;
        return INEXACT;
    }
    wide y = product(x, LN_2);
    u128 fraction = fixed(y), sum = ONE;
    for (int n = 33; n > 1; n--) {
        u128 next = over(times(fraction, sum), n);
        sum = y.negative ? ONE - next : ONE + next;
    }
    wide power = product(y, normalized(sum, 0, 0));
    power.exact = 0;
    return found | rounded(e, power, into);
}

/* The binary logarithm of a positive number; less_one: that number less 1. */
static wide logarithm(wide x, wide less_one) {
    int power = x.power;
    u128 m = x.mantissa;
    if (m > ROOT_OF_2) m >>= 1, power++;
    wide whole = normalized(power < 0 ? -power : power, 127, power < 0);
    if (power) less_one = m < ONE ? normalized(ONE - m, 0, 1) : normalized(m - ONE, 0, 0);
    if (!less_one.mantissa) return whole;
    wide ratio = quotient(less_one, normalized((m >> 1) + (ONE >> 1), 1, 0));
    u128 fraction = fixed(ratio);
    wide rest = product(product(ratio, (wide) { of_odds(times(fraction, fraction), 53, 0), 0, 0, 0 }), TWICE_LOG2_E);
    if (!power) return rest;
    u128 added = shifted(rest.mantissa, 1 + whole.power - rest.power);
    wide sum = normalized((whole.mantissa >> 1) + (rest.negative == whole.negative ? added : -added), whole.power + 1, whole.negative);
    sum.exact = 0;
    return sum;
}

/* One more than a number, or one less. */
static wide and_one(wide a, int negative) {
    wide one = { ONE, 0, negative, 1 };
    wide large = a.power < 0 ? one : a, small = a.power < 0 ? a : one;
    u128 added = shifted(small.mantissa, 1 + large.power - small.power);
    return normalized((large.mantissa >> 1) + (large.negative == small.negative ? added : -added), large.power + 1, large.negative);
}

static u16 fyl2x_of(const state *e, const ten *a, const ten *b, ten *into) {
    if (!is_finite(b) || is_zero(b) || a->high >> 15 || (a->low == 1UL << 63 && a->high == BIAS)) return HOSTS;
    BEGIN(a, is_denormal(a) || is_denormal(b));
    wide x = wide_of(a);
    return found | rounded(e, product(logarithm(x, and_one(x, 1)), wide_of(b)), into);
}

/* What is at most -1 stays, as on processors of both makers. */
static u16 fyl2xp1_of(const state *e, const ten *a, const ten *b, ten *into) {
    if (!is_finite(b) || is_zero(b)) return HOSTS;
    BEGIN(a, is_denormal(a) || is_denormal(b));
    wide x = wide_of(a);
    if (x.negative && x.power >= 0) {
        *into = *a;
        return found | INEXACT;
    }
    return found | rounded(e, product(logarithm(and_one(x, 0), x), wide_of(b)), into);
}

/* The arc whose tangent is a number up to 1. */
static wide arc(wide tangent) {
    u128 x = fixed(tangent), half = ONE >> 1;
    if (x <= half >> 1) return product(tangent, (wide) { of_odds(times(x, x), 81, 1) << 1, -1, 0, 0 });
    u128 rest = fixed(quotient(normalized(x > half ? x - half : half - x, 0, 0), normalized(ONE + (x >> 1), 0, 0)));
    rest = times(rest, of_odds(times(rest, rest), 81, 1));
    return normalized(x > half ? ARC_OF_HALF + rest : ARC_OF_HALF - rest, 0, 0);
}

/* The arc of b over a, in its quadrant. */
static u16 fpatan_of(const state *e, const ten *a, const ten *b, ten *into) {
    if (!(is_finite(a) || is_infinite(a)) || !(is_finite(b) || is_infinite(b))) return HOSTS;
    u16 found = is_denormal(a) || is_denormal(b) ? DENORMAL : 0;
    if (is_unmasked(e, found)) return found;
    int is_left = a->high >> 15, eighths = 0;
    wide result = { 0, 0, 0, 0 };
    if (is_infinite(b)) eighths = !is_infinite(a) ? 2 : is_left ? 3 : 1;
    else if (is_zero(b) || is_infinite(a)) eighths = is_left ? 4 : 0;
    else if (is_zero(a)) eighths = 2;
    else {
        wide x = wide_of(a), y = wide_of(b);
        int is_steep = y.power > x.power || (y.power == x.power && y.mantissa > x.mantissa);
        x.negative = y.negative = 0;
        result = arc(is_steep ? quotient(x, y) : quotient(y, x));
        eighths = is_steep ? 2 : is_left ? 4 : 0;
        is_left = is_steep ? !is_left : is_left;
    }
    if (eighths || !result.mantissa) {
        wide turn = { eighths == 3 ? PI.mantissa - (PI.mantissa >> 2) : PI.mantissa, eighths > 2 ? 1 : eighths - 2, 0, 0 };
        u128 added = shifted(result.mantissa, 2 - result.power);
        if (!eighths) {
            *into = (ten) { 0, b->high & 0x8000 };
            return found;
        }
        result = normalized(shifted(turn.mantissa, 2 - turn.power) + (is_left ? -added : added), 2, 0);
    }
    result.negative = b->high >> 15;
    result.exact = 0;
    return found | rounded(e, result, into);
}
