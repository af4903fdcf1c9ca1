/* The float's end of the native link behind a line of text, for tests: one command a line in, events and a
 * dot out. Not part of the product.
 *
 *     init BOOT MAX_OBJECT       a new peer; objects and parts of them are kept from before
 *     say HEX                    a record by its number and fields
 *     send KIND ID HEX           an object
 *     hear MS HEX                bytes that arrive
 *     take LIMIT                 bytes to send
 *     due                        milliseconds until hear must be called
 *     counts                     frames damaged and unreadable, and the state of power
 *     fuzz SEED ROUNDS           random bytes and frames, in this process
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../firmware_bridge/c/seston_link.h"

#define ROOM (1 << 17)

/* Kinds that this owner treats in its own way. */
enum { UNWANTED_AT_FIRST = 101, UNWANTED_AT_LAST, REFUSED_LATER, STORED_AT_ONCE };

static sl_peer peer;
static uint8_t kept[ROOM], out[ROOM], bytes[ROOM];
static size_t n_kept, n_out;
static sl_header part, stored[32], sent;
static unsigned n_stored;
static int to_store, quiet;
static char line[4 * ROOM];

static int same(const sl_header *a, const sl_header *b)
{
    return a->kind == b->kind && a->id == b->id && a->length == b->length && a->crc32 == b->crc32;
}

static void print_hex(const uint8_t *from, size_t n)
{
    while (n--)
        printf("%02x", *from++);
    printf("\n");
}

static void on_event(void *context, sl_event event, uint32_t detail)
{
    (void)context;
    if (quiet)
        return;
    switch (event) {
    case SL_OPENED:
        printf("opened %u %u\n", (unsigned)peer.peer_boot_id, (unsigned)detail);
        break;
    case SL_WRONG_VERSION:
        printf("wrongversion\n");
        break;
    case SL_SILENT:
        printf("silent\n");
        break;
    case SL_HEARD:
        printf("heard\n");
        break;
    case SL_DELIVERED:
        printf("delivered %u %u\n", sent.kind, (unsigned)detail);
        break;
    case SL_REFUSED:
        printf("refused %u %u %u\n", sent.kind, (unsigned)sent.id, (unsigned)detail);
        break;
    }
}

static void on_record(void *context, const sl_record *record)
{
    (void)context;
    if (quiet)
        return;
    printf("record %02x", record->number);
    switch (record->number) {
    case SL_STATUS:
        printf("%02x%04x%08x%04x%08x", record->as.status.state, record->as.status.dive,
               (unsigned)record->as.status.frames, record->as.status.messages_waiting,
               (unsigned)record->as.status.bytes_waiting);
        break;
    case SL_HEALTH:
        printf("%04x%02x%08x", record->as.health.battery_mv, (uint8_t)record->as.health.board_c,
               (unsigned)record->as.health.disk_free_mb);
        break;
    case SL_POWER_WAIT:
        printf("%04x", record->as.wait_s);
        break;
    default:
        break;
    }
    printf("\n");
}

static int32_t on_begin(void *context, const sl_header *header, uint32_t *crc32)
{
    (void)context;
    for (unsigned i = 0; i < n_stored && i < 32; i++)
        if (same(&stored[i], header))
            return (int32_t)header->length;
    if (header->length > ROOM)
        return -SL_NO_ROOM;
    if (header->kind == UNWANTED_AT_FIRST)
        return -SL_UNWANTED;
    if (!same(&part, header)) {
        part = *header;
        n_kept = 0;
    }
    *crc32 = sl_crc32(0, kept, n_kept);
    return (int32_t)n_kept;
}

static void on_write(void *context, uint32_t offset, const uint8_t *from, size_t n)
{
    (void)context;
    if (offset + n > ROOM || (offset && offset != n_kept))
        abort();
    memcpy(kept + offset, from, n);
    n_kept = offset + n;
}

static int on_end(void *context, const sl_header *header)
{
    (void)context;
    if (header->length != n_kept || sl_crc32(0, kept, n_kept) != header->crc32)
        abort();
    if (!quiet) {
        printf("received %u %u ", header->kind, (unsigned)header->id);
        print_hex(kept, n_kept);
    }
    if (header->kind == UNWANTED_AT_LAST)
        return -SL_UNWANTED;
    if (header->kind == REFUSED_LATER) {
        to_store = -1;
        return SL_LATER;
    }
    stored[n_stored++ % 32] = *header;
    if (header->kind == STORED_AT_ONCE)
        return SL_STORED;
    to_store = 1;
    return SL_LATER;
}

static void on_read(void *context, uint32_t offset, uint8_t *to, size_t n)
{
    (void)context;
    if (offset + n > n_out)
        abort();
    memcpy(to, out + offset, n);
}

static const sl_owner owner = {on_event, on_record, on_begin, on_write, on_end, on_read};

static size_t read_hex(const char *from, uint8_t *to)
{
    size_t n = 0;
    unsigned value;
    for (; sscanf(from, "%2x", &value) == 1; from += 2)
        to[n++] = (uint8_t)value;
    return n;
}

static uint32_t get(const uint8_t *from, int n)
{
    uint32_t value = 0;
    while (n--)
        value = value << 8 | *from++;
    return value;
}

static int say(const uint8_t *r)
{
    switch (r[0]) {
    case 1:
        return sl_say_time(&peer, (uint64_t)get(r + 1, 4) << 32 | get(r + 5, 4));
    case 2:
        return sl_say_ctd(&peer, (int32_t)get(r + 1, 4), (int32_t)get(r + 5, 4), (int32_t)get(r + 9, 4));
    case 16:
        return sl_say_start(&peer, r[1], (uint16_t)get(r + 2, 2));
    case 17:
        return sl_say_stop(&peer);
    case 18:
        return sl_say_budget(&peer, get(r + 1, 4), (uint16_t)get(r + 5, 2));
    case 19:
        return sl_ask(&peer, r[1]);
    case 20:
        return sl_wish_power(&peer, (uint16_t)get(r + 1, 2));
    case 21:
        return sl_keep_power(&peer);
    default:
        return 0;
    }
}

static int send_out(uint8_t kind, uint32_t id, size_t n)
{
    sl_header header = {0, 0, 0, 0};
    header.id = id;
    header.kind = kind;
    header.length = (uint32_t)n;
    header.crc32 = sl_crc32(0, out, n);
    if (!sl_send(&peer, &header))
        return 0;
    sent = header;
    n_out = n;
    return 1;
}

static void hear(const uint8_t *from, size_t n, uint32_t now_ms)
{
    sl_receive(&peer, from, n, now_ms);
    if (to_store > 0)
        sl_stored(&peer);
    else if (to_store < 0)
        sl_refuse(&peer, SL_NO_ROOM);
    to_store = 0;
}

/* Random bytes, and bodies that begin as real ones do, in frames that the peer itself makes: its own output with
 * another role would be refused, so COBS and CRC are done here anew. */
static size_t frame(uint8_t *body, size_t n, uint8_t *to)
{
    uint16_t crc = 0xFFFF;
    size_t code = 0, end = 1;
    for (size_t i = 0; i < n; i++) {
        crc ^= (uint16_t)(body[i] << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    body[n] = (uint8_t)(crc >> 8);
    body[n + 1] = (uint8_t)crc;
    for (size_t i = 0; i < n + 2; i++) {
        if (body[i]) {
            to[end++] = body[i];
        } else {
            to[code] = (uint8_t)(end - code);
            code = end++;
        }
    }
    to[code] = (uint8_t)(end - code);
    to[end++] = 0;
    return end;
}

static void fuzz(unsigned seed, unsigned rounds)
{
    static const uint8_t firsts[] = {0x01, 0x10, 0x10, 0x13, 0x20, 0x30, 0x31, 0x40, 0x40, 0x41, 0x42};
    static const uint8_t numbers[] = {32, 33, 34, 35, 48, 48, 16};
    uint32_t now_ms = 0;
    unsigned opened = 0, moved = 0;
    quiet = 1;
    srand(seed);
    for (unsigned round = 0; round < rounds; round++) {
        uint8_t body[300];
        size_t n = (size_t)(rand() % 40) + 1, said = 0;
        for (size_t i = 0; i < sizeof body; i++)
            body[i] = (uint8_t)(rand() % 4 ? rand() % 4 : rand());
        body[0] = firsts[(unsigned)rand() % sizeof firsts];
        if (body[0] == 0x40) {
            static const uint8_t lengths[] = {16, 10, 5, 3, 5, 5, 6};
            unsigned kind = (unsigned)rand() % sizeof numbers;
            body[2] = numbers[kind];
            n = lengths[kind];
        } else if (body[0] == 0x41) {
            n = 2;
        } else if (body[0] == 0x20 || body[0] >> 4 == 3) {
            n = 5;
        } else if (body[0] == 0x01) {
            static const uint8_t hello[] = {1, 1, 1, 2, 1, 0, 0, 0, 7, 0, 0, 0, 1, 240, 0, 0, 9, 9, 0, 0};
            memcpy(body, hello, sizeof hello);
            body[8] = (uint8_t)(7 + rand() % 2 * (rand() % 16 == 0));
            body[13] = (uint8_t)(32 + rand() % 224);
            n = sizeof hello;
        } else if (body[0] >> 4 == 1) {
            body[10] = body[11] = body[2] = 0;
            n = (size_t)(5 + rand() % 236);
        }
        n = rand() % 8 ? frame(body, n, bytes) : n;
        if (rand() % 16 == 0)
            bytes[(size_t)rand() % n] ^= 4;
        now_ms += (uint32_t)(rand() % 8 ? rand() % 100 : rand() % 20000);
        hear(bytes, n, now_ms);
        if (rand() % 8 == 0)
            sl_wish_power(&peer, 1);
        if (!peer.s_busy) {
            for (n_out = 0; n_out < 2000; n_out++)
                out[n_out] = (uint8_t)n_out;
            send_out(4, round, (size_t)(1 + rand() % 2000));
        }
        while ((n = sl_to_send(&peer, bytes, (size_t)(1 + rand() % 300))) != 0)
            said += n;
        if (said > 2000)
            abort();
        opened += peer.is_open;
        moved += peer.r_have > 0;
    }
    printf("opened %u moved %u damaged %u\n", opened, moved, peer.damaged);
    quiet = 0;
}

int main(void)
{
    while (fgets(line, sizeof line, stdin)) {
        unsigned a, b;
        int at = 0;
        if (sscanf(line, "init %u %u", &a, &b) == 2) {
            sl_init(&peer, &owner, NULL, a, b, SL_CAN_ALL);
        } else if (sscanf(line, "say %n", &at) == 0 && at) {
            read_hex(line + at, bytes);
            if (!say(bytes))
                printf("no\n");
        } else if (sscanf(line, "send %u %u %n", &a, &b, &at) == 2 && at) {
            if (!send_out((uint8_t)a, b, read_hex(line + at, out)))
                printf("no\n");
        } else if (sscanf(line, "hear %u %n", &a, &at) == 1 && at) {
            hear(bytes, read_hex(line + at, bytes), a);
        } else if (sscanf(line, "take %u", &a) == 1) {
            size_t n = sl_to_send(&peer, bytes, a);
            print_hex(bytes, n);
        } else if (strncmp(line, "due", 3) == 0) {
            printf("%u\n", (unsigned)sl_due_ms(&peer));
        } else if (strncmp(line, "counts", 6) == 0) {
            printf("%u %u %u\n", peer.damaged, peer.unreadable, peer.power);
        } else if (sscanf(line, "fuzz %u %u", &a, &b) == 2) {
            fuzz(a, b);
        } else {
            printf("what?\n");
        }
        printf(".\n");
        fflush(stdout);
    }
    return 0;
}
