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

enum { STEPS = 20000, SUMS = 24, SUMS_256 = 12 };
static const double SECONDS = 0.4;
static pthread_barrier_t start;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* A function that counts multiplications and additions: `instruction` on as many sums as hide its latency, none waiting for another. */
#define PEAK(name, vector, zero, sums, operations, instruction)                                                  \
    static double name(void) {                                                                                   \
        vector sum[sums], left = zero, right = zero;                                                             \
        for (int i = 0; i < sums; i++) sum[i] = zero;                                                            \
        for (int step = 0; step < STEPS; step++)                                                                 \
            _Pragma("GCC unroll 24") for (int i = 0; i < sums; i++)                                              \
                __asm__ volatile(instruction " %2, %1, %0" : "+v"(sum[i]) : "v"(left), "v"(right));             \
        return (double)STEPS * sums * (operations);                                                              \
    }

#if defined(__AVX512F__)
PEAK(f32, __m512, _mm512_setzero_ps(), SUMS, 2 * 16, "vfmadd231ps")
#elif defined(__FMA__)
PEAK(f32, __m256, _mm256_setzero_ps(), SUMS_256, 2 * 8, "vfmadd231ps")
#endif
#if defined(__AVX512BF16__)
PEAK(bf16, __m512, _mm512_setzero_ps(), SUMS, 2 * 32, "vdpbf16ps")
#endif
#if defined(__AVX512VNNI__)
PEAK(int8, __m512i, _mm512_setzero_si512(), SUMS, 2 * 64, "vpdpbusd")
#elif defined(__AVXVNNI__)
PEAK(int8, __m256i, _mm256_setzero_si256(), SUMS_256, 2 * 32, "{vex} vpdpbusd")
#endif

/* Counts bytes read and bytes written. */
static double copy(void) {
    enum { BYTES = 192 << 10 };
    static _Thread_local char from[BYTES], to[BYTES];
    for (int i = 0; i < 100; i++) {
        memcpy(to, from, BYTES);
        __asm__ volatile("" ::: "memory");
    }
    return 100.0 * 2 * BYTES;
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
#if defined(__FMA__) || defined(__AVX512F__)
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
