/* What a core of this CPU can do at most: products and sums a second from registers alone, and bytes a second copied within the
   second-level cache, each on N threads at once. Prints one JSON object, of all threads together.

   cc -O2 -march=native -pthread scripts/peak.c -o peak && ./peak 2 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS = 20000 };
static const double SECONDS = 0.4;
static pthread_barrier_t start;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

#define TWELVE(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)
#define TWENTY_FOUR(do) \
    TWELVE(do) do(12) do(13) do(14) do(15) do(16) do(17) do(18) do(19) do(20) do(21) do(22) do(23)

/* A function that counts multiplications and additions: one instruction on as many sums as hide its latency, none of which waits for
   another. `sums` is a list of them that fits the registers. */
#define BEGIN(i) vector sum##i = zero;
#define ADD(i) __asm__ volatile(INSTRUCTION " %2, %1, %0" : "+v"(sum##i) : "v"(zero), "v"(zero));

#if defined(__AVX512F__)
#define SUMS TWENTY_FOUR
enum { COUNT = 24, BYTES = 64 };
typedef __m512i vector;
#define ZERO _mm512_setzero_si512()
#else
#define SUMS TWELVE
enum { COUNT = 12, BYTES = 32 };
typedef __m256i vector;
#define ZERO _mm256_setzero_si256()
#endif

/* `inputs` products of each 32 bits of a vector. */
#define PEAK(name, inputs)                                \
    static double name(void) {                            \
        vector zero = ZERO;                               \
        SUMS(BEGIN)                                       \
        for (int step = 0; step < STEPS; step++) {        \
            SUMS(ADD)                                     \
        }                                                 \
        return (double)STEPS * COUNT * (BYTES / 4) * 2 * (inputs); \
    }

#if defined(__FMA__)
#define INSTRUCTION "vfmadd231ps"
PEAK(f32, 1)
#undef INSTRUCTION
#endif
#if defined(__AVX512BF16__)
#define INSTRUCTION "vdpbf16ps"
PEAK(bf16, 2)
#undef INSTRUCTION
#endif
#if defined(__AVX512VNNI__)
#define INSTRUCTION "vpdpbusd"
PEAK(int8, 4)
#undef INSTRUCTION
#elif defined(__AVXVNNI__)
#define INSTRUCTION "{vex} vpdpbusd"
PEAK(int8, 4)
#undef INSTRUCTION
#endif

/* Counts bytes read and bytes written. */
static double copy(void) {
    enum { SIZE = 192 << 10 };
    static _Thread_local char from[SIZE], to[SIZE];
    for (int i = 0; i < 100; i++) {
        memcpy(to, from, SIZE);
        __asm__ volatile("" ::"r"(from), "r"(to) : "memory");
    }
    return 100.0 * 2 * SIZE;
}

struct job {
    double (*run)(void);
    double rate;
};

static void *work(void *argument) {
    struct job *job = argument;
    double done = 0;
    pthread_barrier_wait(&start);
    double from = now(), to;
    do {
        done += job->run();
        to = now();
    } while (to - from < SECONDS);
    job->rate = done / (to - from);
    return NULL;
}

/* The best of five runs on all threads at once. */
static void print(const char *name, double (*run)(void), int threads) {
    double best = 0;
    for (int round = 0; round < 5; round++) {
        pthread_t thread[threads];
        struct job job[threads];
        pthread_barrier_init(&start, NULL, threads);
        for (int i = 0; i < threads; i++) {
            job[i].run = run;
            pthread_create(&thread[i], NULL, work, &job[i]);
        }
        double rate = 0;
        for (int i = 0; i < threads; i++) {
            pthread_join(thread[i], NULL);
            rate += job[i].rate;
        }
        if (rate > best) best = rate;
    }
    printf(", \"%s\": %.4g", name, best);
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 1;
    if (threads < 1 || threads > 1024) {
        fputs("usage: peak THREADS\n", stderr);
        return 2;
    }
    printf("{\"threads\": %d", threads);
#if defined(__FMA__)
    print("f32", f32, threads);
#endif
#if defined(__AVX512BF16__)
    print("bf16", bf16, threads);
#endif
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
    print("int8", int8, threads);
#endif
    print("copy", copy, threads);
    puts("}");
    return 0;
}
