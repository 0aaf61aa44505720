/*
 * Stands where Mixpanel's ingestion host would: reads requests, counts the records in
 * them, answers as /import, /track, /engage and /groups do, and does nothing else. So
 * what a benchmark measures is the tool that sends.
 *
 *     cc -O3 -pthread -o sink sink.c
 *     ./sink [--port 0] [--delay-ms 0]      prints "sink listening on PORT"
 *
 * GET /stats tells what came: requests, bytes as sent, bytes unpacked, records, and how
 * many of the records were different ones. Records that bench/generate.py makes carry
 * their number in the last twelve digits of $insert_id; a map of bits proves that each
 * came exactly once.
 *
 * Bodies are plain or gzip, NDJSON or an array. Inflating is done here, with nothing but
 * libc, about as fast as it can be done: the answer has to tell the number of records,
 * and every microsecond of it is taken from the tool on the same machine.
 *
 * Answers are Mixpanel's documented ones for requests in which nothing is wrong.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sink.c loads eight bytes at once and needs a little-endian machine"
#endif

enum {
    PAD = 16,                     /* readable zero bytes behind every input */
    MOST_HEADERS = 64 * 1024,
    MOST_BODY = 64 * 1024 * 1024, /* of one request, packed or not */
};
#define MOST_NUMBERS (1ull << 33) /* of different events; a bit each, in sparse pages */

static _Atomic uint64_t requests, bytes_sent, bytes_unpacked, records, distinct, repeated,
    unnumbered, broken, in_flight, most_in_flight;
static _Atomic uint64_t *seen;
static long delay_ms;

/* ---- gzip ------------------------------------------------------------------------- */

enum { LITERAL_ROOT = 11, DISTANCE_ROOT = 9 };
enum { IS_LITERAL = 1 << 8, IS_END = 1 << 9, IS_SUB = 1 << 10, IS_BAD = 1 << 11 };

/* What a code stands for. `bits`: to take away, for a sub table its width. */
typedef struct {
    uint8_t bits, extra;
    uint16_t flags;
    uint32_t base;
} Entry;

typedef struct {
    Entry literals[(1 << LITERAL_ROOT) + (1 << 15)];
    Entry distances[(1 << DISTANCE_ROOT) + (1 << 15)];
} Tables;

typedef struct {
    const uint8_t *next, *end;
    uint64_t bits;
    unsigned count;
} Reader;

static const Entry BAD = {1, 0, IS_BAD, 0};

static Entry literal_entry(int symbol) {
    static const uint16_t base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19, 23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                    2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    if (symbol < 256) return (Entry){0, 0, IS_LITERAL, (uint32_t)symbol};
    if (symbol == 256) return (Entry){0, 0, IS_END, 0};
    if (symbol > 285) return BAD;
    return (Entry){0, extra[symbol - 257], 0, base[symbol - 257]};
}

static Entry distance_entry(int symbol) {
    if (symbol > 29) return BAD;
    if (symbol < 4) return (Entry){0, 0, 0, (uint32_t)symbol + 1};
    uint8_t extra = (uint8_t)(symbol / 2 - 1);
    return (Entry){0, extra, 0, ((2u + (symbol & 1)) << extra) + 1};
}

static Entry plain_entry(int symbol) { return (Entry){0, 0, 0, (uint32_t)symbol}; }

static unsigned reverse(unsigned code, int length) {
    unsigned out = 0;
    while (length--) out = (out << 1) | (code & 1), code >>= 1;
    return out;
}

/* Fill a table of 2^root entries, and behind it one sub table for every longer prefix. */
static int build(Entry *table, int root, const uint8_t *lengths, int n, Entry (*meaning)(int)) {
    unsigned counts[16] = {0}, next[16], code = 0;
    uint8_t longest[1 << LITERAL_ROOT];
    uint16_t codes[320];
    for (int i = 0; i < n; i++) counts[lengths[i]]++;
    counts[0] = 0;
    for (int length = 1; length < 16; length++) {
        code = (code + counts[length - 1]) << 1;
        next[length] = code;
        if (code + counts[length] > 1u << length) return 0;
    }
    unsigned size = 1u << root;
    for (unsigned i = 0; i < size; i++) table[i] = BAD;
    memset(longest, 0, size);
    for (int i = 0; i < n; i++) {
        if (!lengths[i]) continue;
        codes[i] = (uint16_t)reverse(next[lengths[i]]++, lengths[i]);
        uint8_t *width = &longest[codes[i] & (size - 1)];
        if (lengths[i] > root && lengths[i] - root > *width) *width = lengths[i] - (uint8_t)root;
    }
    unsigned free_at = size;
    for (unsigned i = 0; i < size; i++) {
        if (!longest[i]) continue;
        table[i] = (Entry){longest[i], 0, IS_SUB, free_at};
        for (unsigned k = 0; k < 1u << longest[i]; k++) table[free_at + k] = BAD;
        free_at += 1u << longest[i];
    }
    for (int i = 0; i < n; i++) {
        int length = lengths[i];
        if (!length) continue;
        Entry entry = meaning(i);
        Entry *where = table;
        unsigned at = codes[i], end = size;
        if (length > root) {
            Entry sub = table[codes[i] & (size - 1)];
            where += sub.base;
            end = 1u << sub.bits;
            at >>= root;
            length -= root;
        }
        entry.bits = (uint8_t)length;
        for (; at < end; at += 1u << length) where[at] = entry;
    }
    return 1;
}

static inline void refill(Reader *in) {
    uint64_t word;
    if (in->next > in->end + 8) return; /* has read behind the end: found out below */
    memcpy(&word, in->next, 8);
    in->bits |= word << in->count;
    in->next += (63 - in->count) >> 3;
    in->count |= 56;
}

static inline unsigned take(Reader *in, unsigned n) {
    unsigned out = (unsigned)(in->bits & ((1ull << n) - 1));
    in->bits >>= n;
    in->count -= n;
    return out;
}

static inline Entry look_up(Reader *in, const Entry *table, int root) {
    Entry entry = table[in->bits & ((1u << root) - 1)];
    if (entry.flags & IS_SUB) {
        take(in, (unsigned)root);
        entry = table[entry.base + (in->bits & ((1u << entry.bits) - 1))];
    }
    take(in, entry.bits);
    return entry;
}

static int is_past_end(const Reader *in) {
    return in->next > in->end + 8 || in->next - in->count / 8 > in->end;
}

static int read_tables(Reader *in, Tables *tables, int is_fixed) {
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    int literals = 288, distances = 30;
    if (is_fixed) {
        memset(lengths, 8, 144);
        memset(lengths + 144, 9, 112);
        memset(lengths + 256, 7, 24);
        memset(lengths + 280, 8, 8);
        memset(lengths + 288, 5, 30);
    } else {
        uint8_t small[19] = {0};
        Entry table[1 << 7];
        refill(in);
        literals = 257 + (int)take(in, 5);
        distances = 1 + (int)take(in, 5);
        int n = 4 + (int)take(in, 4);
        for (int i = 0; i < n; i++) {
            refill(in);
            small[order[i]] = (uint8_t)take(in, 3);
        }
        if (literals > 286 || !build(table, 7, small, 19, plain_entry)) return 0;
        for (int i = 0; i < literals + distances;) {
            refill(in);
            Entry entry = look_up(in, table, 7);
            if (entry.flags & IS_BAD) return 0;
            if (entry.base < 16) {
                lengths[i++] = (uint8_t)entry.base;
                continue;
            }
            unsigned times = entry.base == 16   ? 3 + take(in, 2)
                             : entry.base == 17 ? 3 + take(in, 3)
                                                : 11 + take(in, 7);
            if ((entry.base == 16 && !i) || i + (int)times > literals + distances) return 0;
            memset(lengths + i, entry.base == 16 ? lengths[i - 1] : 0, times);
            i += (int)times;
        }
    }
    return build(tables->literals, LITERAL_ROOT, lengths, literals, literal_entry) &&
           build(tables->distances, DISTANCE_ROOT, lengths + literals, distances, distance_entry);
}

static inline void copy_match(uint8_t *out, size_t distance, size_t length) {
    const uint8_t *from = out - distance;
    uint8_t *end = out + length;
    if (distance >= 8) {
        do {
            memcpy(out, from, 8);
            out += 8, from += 8;
        } while (out < end);
    } else {
        while (out < end) *out++ = *from++;
    }
}

typedef struct {
    uint8_t *data;
    size_t size, room;
} Buffer;

/* Room for `more` bytes and PAD behind them. */
static int make_room(Buffer *buffer, size_t more) {
    if (buffer->size + more + PAD <= buffer->room) return 1;
    size_t room = (buffer->size + more + PAD) * 5 / 4 + 4096;
    uint8_t *data = realloc(buffer->data, room);
    if (!data) return 0;
    buffer->data = data;
    buffer->room = room;
    return 1;
}

static int inflate_codes(Reader *in, Tables *tables, Buffer *out) {
    for (;;) {
        if (!make_room(out, 4096) || out->size > MOST_BODY) return 0;
        uint8_t *to = out->data + out->size, *stop = out->data + out->room - 4 - 258 - PAD;
        while (to < stop) {
            refill(in);
            Entry entry = look_up(in, tables->literals, LITERAL_ROOT);
            if (entry.flags & IS_LITERAL) { /* the bits suffice for three of them */
                *to++ = (uint8_t)entry.base;
                entry = look_up(in, tables->literals, LITERAL_ROOT);
                if (entry.flags & IS_LITERAL) {
                    *to++ = (uint8_t)entry.base;
                    entry = look_up(in, tables->literals, LITERAL_ROOT);
                    if (entry.flags & IS_LITERAL) {
                        *to++ = (uint8_t)entry.base;
                        if (is_past_end(in)) return 0;
                        continue;
                    }
                }
                if (!(entry.flags & (IS_END | IS_BAD))) refill(in);
            }
            if (entry.flags & (IS_END | IS_BAD)) {
                out->size = (size_t)(to - out->data);
                return (entry.flags & IS_END) && !is_past_end(in);
            }
            size_t length = entry.base + take(in, entry.extra);
            entry = look_up(in, tables->distances, DISTANCE_ROOT);
            if (entry.flags & IS_BAD) return 0;
            size_t distance = entry.base + take(in, entry.extra);
            if (distance > (size_t)(to - out->data) || is_past_end(in)) return 0;
            copy_match(to, distance, length);
            to += length;
        }
        out->size = (size_t)(to - out->data);
    }
}

/* Back to whole bytes: give back what was looked at but not taken. */
static void align(Reader *in) {
    in->next -= in->count / 8;
    in->bits = 0;
    in->count = 0;
}

static int inflate_member(Reader *in, Tables *tables, Buffer *out) {
    for (int is_last = 0; !is_last;) {
        refill(in);
        is_last = (int)take(in, 1);
        unsigned kind = take(in, 2);
        if (kind == 3) return 0;
        if (kind) {
            if (!read_tables(in, tables, kind == 1) || !inflate_codes(in, tables, out)) return 0;
            continue;
        }
        align(in);
        if (in->end - in->next < 4) return 0;
        size_t n = in->next[0] | (size_t)in->next[1] << 8;
        in->next += 4;
        if ((size_t)(in->end - in->next) < n || out->size + n > MOST_BODY || !make_room(out, n))
            return 0;
        memcpy(out->data + out->size, in->next, n);
        out->size += n;
        in->next += n;
    }
    align(in);
    return 1;
}

/* All members of a gzip body, one behind the other. The sizes at their ends are compared;
 * the checksum is not, as it would cost a fifth of the inflating. */
static int gunzip(const uint8_t *data, size_t size, Tables *tables, Buffer *out) {
    Reader in = {data, data + size, 0, 0};
    out->size = 0;
    do {
        if (in.end - in.next < 18 || in.next[0] != 0x1f || in.next[1] != 0x8b || in.next[2] != 8)
            return 0;
        unsigned flags = in.next[3];
        in.next += 10;
        if (flags & 4) {
            size_t n = 2 + (in.next[0] | (size_t)in.next[1] << 8);
            if (n > (size_t)(in.end - in.next)) return 0;
            in.next += n;
        }
        for (int i = 0; i < 2; i++) {
            if (!(flags & (i ? 16 : 8))) continue;
            const uint8_t *zero = memchr(in.next, 0, (size_t)(in.end - in.next));
            if (!zero) return 0;
            in.next = zero + 1;
        }
        if (flags & 2) in.next += 2;
        if (in.next > in.end) return 0;
        size_t before = out->size;
        if (!inflate_member(&in, tables, out) || in.end - in.next < 8) return 0;
        uint32_t told;
        memcpy(&told, in.next + 4, 4);
        if (told != (uint32_t)(out->size - before)) return 0;
        in.next += 8;
    } while (in.next < in.end);
    return 1;
}

/* ---- records ---------------------------------------------------------------------- */

static int digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* Tick off the number in the record's $insert_id. */
static void note(const uint8_t *at, const uint8_t *end) {
    static const char key[] = "$insert_id\"";
    for (; (at = memchr(at, '$', (size_t)(end - at))); at++) {
        if (end - at < 52) break;
        if (memcmp(at, key, sizeof key - 1) != 0) continue;
        at += sizeof key - 1;
        while (*at == ':' || *at == ' ') at++;
        if (*at != '"' || end - at < 38 || at[37] != '"') break;
        uint64_t number = 0;
        for (int i = 25; i < 37; i++) {
            int value = digit(at[i]);
            if (value < 0) goto none;
            number = number << 4 | (uint64_t)value;
        }
        if (number >= MOST_NUMBERS) break;
        uint64_t bit = 1ull << (number & 63);
        if (atomic_fetch_or_explicit(&seen[number >> 6], bit, memory_order_relaxed) & bit)
            repeated++;
        else
            distinct++;
        return;
    }
none:
    unnumbered++;
}

static int is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static uint64_t count_lines(const uint8_t *at, const uint8_t *end) {
    uint64_t n = 0;
    while (at < end) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        while (at < stop && is_blank(*at)) at++;
        if (at < stop) {
            n++;
            note(at, stop);
        }
        at = stop + 1;
    }
    return n;
}

static uint64_t count_items(const uint8_t *at, const uint8_t *end) {
    uint64_t n = 0;
    const uint8_t *begin = NULL;
    int depth = 0;
    for (; at < end; at++) {
        switch (*at) {
        case '"':
            for (at++; at < end && *at != '"'; at++)
                if (*at == '\\') at++;
            break;
        case '{':
        case '[':
            if (++depth == 2) begin = at;
            break;
        case '}':
        case ']':
            if (--depth == 1) {
                n++;
                note(begin, at);
            }
        }
    }
    return n;
}

static uint64_t count_records(const uint8_t *at, const uint8_t *end) {
    while (at < end && is_blank(*at)) at++;
    return at < end && *at == '[' ? count_items(at, end) : count_lines(at, end);
}

/* ---- HTTP ------------------------------------------------------------------------- */

typedef struct {
    int socket;
    Buffer input; /* what was received; `used` of it belongs to answered requests */
    size_t used;
    Buffer body, unpacked;
    Tables tables;
} Connection;

/* At least `n` bytes that were not used yet. */
static int receive(Connection *c, size_t n) {
    if (c->input.size - c->used >= n) return 1;
    if (c->used) {
        memmove(c->input.data, c->input.data + c->used, c->input.size - c->used);
        c->input.size -= c->used;
        c->used = 0;
    }
    if (!make_room(&c->input, n < 256 * 1024 ? 256 * 1024 : n)) return 0;
    while (c->input.size < n) {
        ssize_t got = recv(c->socket, c->input.data + c->input.size,
                           c->input.room - c->input.size - PAD, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;
        c->input.size += (size_t)got;
    }
    return 1;
}

static int send_all(int socket, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(socket, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return 0;
        data += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static int answer(Connection *c, int status, const char *body) {
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     status, status == 200 ? "OK" : "Refused", strlen(body), body);
    return send_all(c->socket, head, (size_t)n);
}

/* The size of the headers with the blank line behind them; 0: the client has gone. */
static size_t receive_head(Connection *c) {
    size_t looked = 0;
    for (;;) {
        const uint8_t *from = c->input.data + c->used;
        size_t there = c->input.size - c->used;
        size_t start = looked > 3 ? looked - 3 : 0;
        const uint8_t *end =
            there > start ? memmem(from + start, there - start, "\r\n\r\n", 4) : NULL;
        if (end) return (size_t)(end - from) + 4;
        if (there > MOST_HEADERS) return 0;
        looked = there;
        if (!receive(c, there + 1)) return 0;
    }
}

typedef struct {
    char method[8], path[256];
    size_t length;
    int is_chunked, is_gzip, is_last, expects;
} Request;

static void read_header(Request *r, char *line) {
    char *value = strchr(line, ':');
    if (!value) return;
    *value++ = 0;
    value += strspn(value, " \t");
    if (!strcasecmp(line, "content-length")) r->length = strtoull(value, NULL, 10);
    if (!strcasecmp(line, "transfer-encoding")) r->is_chunked = !!strcasestr(value, "chunked");
    if (!strcasecmp(line, "content-encoding")) r->is_gzip = !!strcasestr(value, "gzip");
    if (!strcasecmp(line, "connection")) r->is_last = !!strcasestr(value, "close");
    if (!strcasecmp(line, "expect")) r->expects = 1;
}

static int read_head(Connection *c, Request *r) {
    size_t size = receive_head(c);
    if (!size) return 0;
    char *line = (char *)c->input.data + c->used, *rest;
    line[size - 2] = 0;
    if (sscanf(line, "%7s %255s", r->method, r->path) != 2) return 0;
    r->path[strcspn(r->path, "?#")] = 0;
    strtok_r(line, "\r\n", &rest);
    while ((line = strtok_r(NULL, "\r\n", &rest))) read_header(r, line);
    c->used += size;
    return 1;
}

static int read_chunks(Connection *c) {
    c->body.size = 0;
    for (;;) {
        size_t n = 0, i = 0;
        for (;; i++) {
            if (i > 1024 || !receive(c, i + 1)) return 0;
            if (c->input.data[c->used + i] == '\n') break;
        }
        n = strtoull((char *)c->input.data + c->used, NULL, 16);
        c->used += i + 1;
        if (c->body.size + n > MOST_BODY || !receive(c, n + 2)) return 0;
        if (!make_room(&c->body, n)) return 0;
        memcpy(c->body.data + c->body.size, c->input.data + c->used, n);
        c->body.size += n;
        c->used += n + 2;
        if (!n) return 1; /* nobody sends trailers */
    }
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int answer_stats(Connection *c) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"requests\":%lu,\"bytes\":%lu,\"unpacked\":%lu,\"records\":%lu,\"distinct\":%lu,"
             "\"repeated\":%lu,\"unnumbered\":%lu,\"broken\":%lu,\"most_in_flight\":%lu,"
             "\"cpu_seconds\":%.3f}",
             requests, bytes_sent, bytes_unpacked, records, distinct, repeated, unnumbered, broken,
             most_in_flight, cpu_seconds());
    return answer(c, 200, body);
}

static int answer_records(Connection *c, const Request *r, const char *name, const uint8_t *data,
                          size_t size) {
    char body[128];
    requests++;
    bytes_sent += size;
    if (r->is_gzip) {
        if (!gunzip(data, size, &c->tables, &c->unpacked)) {
            broken++;
            return answer(c, 400, "{\"code\":400,\"error\":\"the body is not gzip\"}");
        }
        data = c->unpacked.data;
        size = c->unpacked.size;
    }
    bytes_unpacked += size;
    uint64_t n = count_records(data, data + size);
    records += n;
    if (delay_ms) {
        struct timespec pause = {delay_ms / 1000, delay_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    if (!strcmp(name, "import"))
        snprintf(body, sizeof body, "{\"code\":200,\"num_records_imported\":%lu,\"status\":\"OK\"}", n);
    else
        snprintf(body, sizeof body, "{\"error\":null,\"status\":1,\"num_good_events\":%lu}", n);
    return answer(c, 200, body);
}

static int serve_one(Connection *c) {
    Request r = {0};
    if (!read_head(c, &r)) return 0;
    if (r.expects && !send_all(c->socket, "HTTP/1.1 100 Continue\r\n\r\n", 25)) return 0;
    if (r.length > MOST_BODY) return 0;
    uint64_t now = ++in_flight, most = most_in_flight;
    while (now > most && !atomic_compare_exchange_weak(&most_in_flight, &most, now)) continue;
    int goes_on = r.is_chunked ? read_chunks(c) : receive(c, r.length);
    if (goes_on) {
        const uint8_t *data = r.is_chunked ? c->body.data : c->input.data + c->used;
        size_t size = r.is_chunked ? c->body.size : r.length;
        const char *slash = strrchr(r.path, '/'), *name = slash ? slash + 1 : r.path;
        int is_known = !strcmp(name, "import") || !strcmp(name, "track") ||
                       !strcmp(name, "engage") || !strcmp(name, "groups");
        if (!strcmp(name, "stats"))
            goes_on = answer_stats(c);
        else if (is_known && !strcmp(r.method, "POST"))
            goes_on = answer_records(c, &r, name, data, size);
        else
            goes_on = answer(c, 404, "{\"code\":404,\"error\":\"the sink has no such path\"}");
        if (!r.is_chunked) c->used += r.length;
    }
    in_flight--;
    return goes_on && !r.is_last;
}

static void *serve(void *argument) {
    Connection *c = argument;
    while (serve_one(c)) continue;
    close(c->socket);
    free(c->input.data);
    free(c->body.data);
    free(c->unpacked.data);
    free(c);
    return NULL;
}

int main(int argc, char **argv) {
    int port = 0, yes = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--delay-ms")) delay_ms = atol(argv[i + 1]);
    }
    seen = mmap(NULL, MOST_NUMBERS / 8, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (seen == MAP_FAILED) return perror("mmap"), 1;
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 256))
        return perror("sink"), 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("sink listening on %d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Connection *c = calloc(1, sizeof *c);
        pthread_t thread;
        if (c) c->socket = client;
        if (!c || pthread_create(&thread, &detached, serve, c)) {
            close(client);
            free(c);
        }
    }
}
