#include "seston_link.h"

#include <string.h>

enum { HELLO = 0x01, PIECE = 0x10, PROGRESS = 0x20, GO_BACK = 0x30, NUMBERED = 0x40, TAKEN = 0x41, NOTE = 0x42 };
enum { TIME = 1, CTD = 2, START = 16, STOP, BUDGET, ASK, POWER_WISH, POWER_STAYS, REFUSAL = 48 };
enum { SAY_NOTHING, SAY_PROGRESS, SAY_GO_BACK };
enum { HOST = 1, INSTRUMENT = 2, VERSION = 1, LOWEST_VERSION = 1, OPEN_FLAG = 1 };
enum { HELLO_BYTES = 21, PLACE_BYTES = 5, HEADER_BYTES = 13, LEAST_BODY = 32 };
enum { LEAST_PIECE = 48, GROWTH = 2, MAX_DAMAGED = 3, SILENT_AFTER = 3 };
enum { HELLO_MS = 1000, LONGEST_HELLO_MS = 8000, RETRY_MS = 3000, LONGEST_RETRY_MS = 30000 };
#define MAX_LENGTH 0xFFFFFFu

/* Numbers */

static void put(uint8_t *to, uint32_t value, int n)
{
    while (n--) {
        to[n] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get(const uint8_t *from, int n)
{
    uint32_t value = 0;
    while (n--)
        value = value << 8 | *from++;
    return value;
}

static uint16_t crc16(const uint8_t *bytes, size_t n)
{
    uint16_t crc = 0xFFFF;
    while (n--) {
        crc ^= (uint16_t)(*bytes++ << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
    }
    return crc;
}

uint32_t sl_crc32(uint32_t so_far, const uint8_t *bytes, size_t n)
{
    uint32_t crc = ~so_far;
    while (n--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return ~crc;
}

/* Timers */

static void forget(sl_timer *timer, uint32_t first_ms)
{
    timer->wait_ms = first_ms;
    timer->armed = 0;
}

static void start(sl_timer *timer, uint32_t now_ms)
{
    timer->due_ms = now_ms + timer->wait_ms;
    timer->armed = 1;
}

static int is_due(const sl_timer *timer, uint32_t now_ms)
{
    return timer->armed && (int32_t)(now_ms - timer->due_ms) >= 0;
}

static void fail(sl_timer *timer, uint32_t longest_ms)
{
    timer->wait_ms = 2 * timer->wait_ms < longest_ms ? 2 * timer->wait_ms : longest_ms;
    timer->armed = 0;
}

static void hurry(sl_timer *timer, uint32_t now_ms)
{
    if (timer->armed) {
        timer->wait_ms = RETRY_MS;
        timer->due_ms = now_ms;
    }
}

/* Records of the host */

static void restart_records(sl_peer *p)
{
    p->n_queued = p->sent.n = p->number = 0;
    p->record_pending = p->has_taken = p->taken_pending = 0;
    p->time_pending = p->ctd_pending = 0;
    forget(&p->record_timer, RETRY_MS);
}

/* The newest of a kind holds: it takes the place of one that has not gone out, at the end. */
static void queue_record(sl_peer *p, const uint8_t *bytes, uint8_t n)
{
    uint8_t kept = 0;
    for (uint8_t i = 0; i < p->n_queued; i++)
        if (p->queue[i].bytes[0] != bytes[0])
            p->queue[kept++] = p->queue[i];
    p->queue[kept].n = n;
    memcpy(p->queue[kept].bytes, bytes, n);
    p->n_queued = (uint8_t)(kept + 1);
}

static int holds_refusal(const sl_peer *p)
{
    for (uint8_t i = 0; i < p->n_queued; i++)
        if (p->queue[i].bytes[0] == REFUSAL)
            return 1;
    return p->sent.n && p->sent.bytes[0] == REFUSAL;
}

int sl_say_time(sl_peer *p, uint64_t utc_ms)
{
    if (!p->is_open || utc_ms >> 48)
        return 0;
    p->time[0] = TIME;
    put(p->time + 1, (uint32_t)(utc_ms >> 32), 4);
    put(p->time + 5, (uint32_t)utc_ms, 4);
    p->time_pending = 1;
    return 1;
}

static int fits(int32_t value, int32_t low, int32_t high)
{
    return low <= value && value <= high;
}

int sl_say_ctd(sl_peer *p, int32_t pressure_mdbar, int32_t temperature_e4_c, int32_t salinity_e4)
{
    if (!p->is_open || !fits(pressure_mdbar, -20000, 7000000))
        return 0;
    if (temperature_e4_c != SL_NO_VALUE && !fits(temperature_e4_c, -30000, 450000))
        return 0;
    if (salinity_e4 != SL_NO_VALUE && !fits(salinity_e4, 0, 450000))
        return 0;
    p->ctd[0] = CTD;
    put(p->ctd + 1, (uint32_t)pressure_mdbar, 4);
    put(p->ctd + 5, (uint32_t)temperature_e4_c, 4);
    put(p->ctd + 9, (uint32_t)salinity_e4, 4);
    p->ctd_pending = 1;
    return 1;
}

int sl_say_start(sl_peer *p, uint8_t phase, uint16_t cycle)
{
    uint8_t record[4] = {START, phase};
    if (phase < SL_DESCENT || phase > SL_ASCENT)
        return 0;
    put(record + 2, cycle, 2);
    p->power = SL_POWER_STAYS;
    queue_record(p, record, sizeof record);
    return 1;
}

int sl_say_stop(sl_peer *p)
{
    const uint8_t record[1] = {STOP};
    queue_record(p, record, sizeof record);
    return 1;
}

int sl_say_budget(sl_peer *p, uint32_t budget_bytes, uint16_t message_bytes)
{
    uint8_t record[7] = {BUDGET};
    if (!message_bytes)
        return 0;
    put(record + 1, budget_bytes, 4);
    put(record + 5, message_bytes, 2);
    queue_record(p, record, sizeof record);
    return 1;
}

int sl_ask(sl_peer *p, uint8_t topic)
{
    const uint8_t record[2] = {ASK, topic};
    if (topic != SL_ASK_STATUS && topic != SL_ASK_HEALTH)
        return 0;
    queue_record(p, record, sizeof record);
    return 1;
}

int sl_wish_power(sl_peer *p, uint16_t within_s)
{
    uint8_t record[3] = {POWER_WISH};
    put(record + 1, within_s, 2);
    p->power = SL_POWER_WISHED;
    queue_record(p, record, sizeof record);
    return 1;
}

int sl_keep_power(sl_peer *p)
{
    const uint8_t record[1] = {POWER_STAYS};
    p->power = SL_POWER_STAYS;
    queue_record(p, record, sizeof record);
    return 1;
}

/* Objects that are sent */

static void restart_sender(sl_peer *p, uint8_t max_body)
{
    p->s_acked = p->s_next = 0;
    p->s_begun = p->s_transfer = p->s_tour = p->s_poll = p->s_n_ends = 0;
    p->s_body = p->s_max_body = max_body;
    forget(&p->s_timer, RETRY_MS);
}

int sl_send(sl_peer *p, const sl_header *header)
{
    if (p->s_busy || !header->length || header->length > MAX_LENGTH)
        return 0;
    p->s_header = *header;
    p->s_busy = 1;
    return 1;
}

static void go_back(sl_peer *p)
{
    uint8_t least = p->s_max_body < LEAST_PIECE ? p->s_max_body : LEAST_PIECE;
    uint8_t shorter = (uint8_t)(p->s_body * 3 / 4);
    p->s_next = p->s_acked;
    p->s_n_ends = 0;
    p->s_body = shorter > least ? shorter : least;
    p->s_tour = (p->s_tour + 1) & 15;
}

/* Pieces that end here or before have arrived. */
static void acknowledge(sl_peer *p, uint32_t place)
{
    uint8_t n = 0;
    while (n < p->s_n_ends && p->s_ends[n] <= place)
        n++;
    p->s_n_ends = (uint8_t)(p->s_n_ends - n);
    memmove(p->s_ends, p->s_ends + n, p->s_n_ends * sizeof p->s_ends[0]);
    while (n--)
        p->s_body = p->s_max_body - p->s_body < GROWTH ? p->s_max_body : (uint8_t)(p->s_body + GROWTH);
    forget(&p->s_timer, RETRY_MS);
}

static void next_object(sl_peer *p)
{
    p->s_transfer++;
    p->s_busy = p->s_begun = p->s_poll = 0;
    p->s_acked = p->s_next = 0;
}

static void on_progress(sl_peer *p, const uint8_t *body)
{
    uint8_t ahead = (uint8_t)(body[1] - p->s_transfer);
    uint32_t place = get(body + 2, 3);
    if (!p->s_begun)
        return;
    if (ahead == 1 && !place) {
        acknowledge(p, p->s_header.length);
        next_object(p);
        p->owner->event(p->context, SL_DELIVERED, p->s_header.id);
    } else if (!ahead && place <= p->s_header.length) {
        if (place > p->s_acked) {
            p->s_acked = place;
            if (p->s_next < place)
                p->s_next = place;
            acknowledge(p, place);
            start(&p->s_timer, p->now_ms);
        }
        if (body[0] == (GO_BACK | p->s_tour) && p->s_next > place) {
            p->s_acked = place;
            go_back(p);
        }
    }
}

static void on_refused(sl_peer *p, uint8_t transfer, uint8_t reason)
{
    if (!p->s_begun || transfer != p->s_transfer)
        return;
    next_object(p);
    go_back(p);
    forget(&p->s_timer, RETRY_MS);
    p->owner->event(p->context, SL_REFUSED, reason);
}

static size_t next_piece(sl_peer *p, uint8_t *body)
{
    size_t n = PLACE_BYTES;
    uint32_t payload = p->s_header.length - p->s_next;
    if (!p->s_busy || p->s_n_ends == SL_WINDOW || (!payload && !p->s_poll))
        return 0;
    body[0] = PIECE | p->s_tour;
    body[1] = p->s_transfer;
    put(body + 2, p->s_next, 3);
    if (!p->s_next) {
        body[n] = p->s_header.kind;
        put(body + n + 1, p->s_header.id, 4);
        put(body + n + 5, p->s_header.length, 4);
        put(body + n + 9, p->s_header.crc32, 4);
        n += HEADER_BYTES;
    }
    if (payload > p->s_body - n)
        payload = (uint32_t)(p->s_body - n);
    if (payload)
        p->owner->read(p->context, p->s_next, body + n, payload);
    p->s_next += payload;
    p->s_begun = 1;
    p->s_poll = 0;
    p->s_ends[p->s_n_ends++] = p->s_next;
    if (!p->s_timer.armed)
        start(&p->s_timer, p->now_ms);
    return n + payload;
}

/* Objects that arrive */

static int is_whole(const sl_peer *p)
{
    return p->r_has && p->r_have == p->r_header.length;
}

static void drop(sl_peer *p)
{
    p->r_has = p->r_damaged = 0;
    p->r_have = p->r_crc32 = 0;
}

static void restart_receiver(sl_peer *p)
{
    p->r_transfer = p->r_tour = p->r_begun = p->r_missed = 0;
    p->r_reply = SAY_NOTHING;
    if (p->r_refusing) {
        p->r_refusing = 0;
        drop(p);
    }
}

static void pass(sl_peer *p)
{
    p->r_transfer++;
    p->r_begun = p->r_missed = 0;
    drop(p);
}

static void say_where(sl_peer *p)
{
    if (p->r_reply == SAY_NOTHING)
        p->r_reply = SAY_PROGRESS;
}

static void tell_refusal(sl_peer *p)
{
    const uint8_t record[3] = {REFUSAL, p->r_transfer, p->r_refusing};
    if (p->r_refusing && !holds_refusal(p))
        queue_record(p, record, sizeof record);
}

void sl_stored(sl_peer *p)
{
    if (!is_whole(p) || p->r_refusing)
        return;
    if (p->r_begun) {
        p->r_reply = p->r_missed ? SAY_GO_BACK : SAY_PROGRESS;
        pass(p);
    } else {
        drop(p);
    }
}

void sl_refuse(sl_peer *p, uint8_t reason)
{
    if (!is_whole(p) || p->r_refusing || reason < SL_TOO_LARGE || reason > SL_NO_ROOM)
        return;
    if (p->r_begun) {
        p->r_refusing = reason;
        tell_refusal(p);
    } else {
        drop(p); /* it comes again in this session, and can be refused then */
    }
}

static void take(sl_peer *p, const uint8_t *payload, size_t n)
{
    int answer;
    if (n > p->r_header.length - p->r_have)
        n = p->r_header.length - p->r_have;
    if (n)
        p->owner->write(p->context, p->r_have, payload, n);
    p->r_crc32 = sl_crc32(p->r_crc32, payload, n);
    p->r_have += (uint32_t)n;
    p->r_reply = SAY_PROGRESS;
    if (p->r_have < p->r_header.length)
        return;
    if (p->r_crc32 != p->r_header.crc32) {
        p->r_have = p->r_crc32 = 0;
        p->r_reply = SAY_GO_BACK;
        if (++p->r_damaged == MAX_DAMAGED)
            p->r_refusing = SL_DAMAGED;
        return;
    }
    answer = p->owner->end(p->context, &p->r_header);
    if (answer == SL_STORED)
        sl_stored(p);
    else if (answer < 0)
        sl_refuse(p, (uint8_t)-answer);
}

static int is_same(const sl_header *a, const sl_header *b)
{
    return a->kind == b->kind && a->id == b->id && a->length == b->length && a->crc32 == b->crc32;
}

static void begin(sl_peer *p, const sl_header *header, const uint8_t *payload, size_t n)
{
    int32_t kept;
    int same = p->r_has && is_same(&p->r_header, header);
    p->r_begun = 1;
    if (same && p->r_have) {
        say_where(p);
        return;
    }
    if (header->length > p->max_object) {
        p->r_refusing = SL_TOO_LARGE;
        return;
    }
    if (!same) {
        drop(p);
        p->r_header = *header;
        p->r_has = 1;
        kept = p->owner->begin(p->context, header, &p->r_crc32);
        if (kept < 0) {
            p->r_refusing = -kept <= SL_NO_ROOM ? (uint8_t)-kept : SL_UNWANTED;
            return;
        }
        if (kept && (uint32_t)kept >= header->length) {
            p->r_reply = SAY_PROGRESS;
            pass(p);
            return;
        }
        if (kept) {
            p->r_have = (uint32_t)kept;
            say_where(p);
            return;
        }
    }
    p->r_crc32 = 0;
    take(p, payload, n);
}

/* 0 when it is not readable. */
static int on_piece(sl_peer *p, const uint8_t *body, size_t n)
{
    uint8_t ahead = (uint8_t)(body[1] - p->r_transfer);
    uint32_t offset = get(body + 2, 3);
    sl_header header = {0, 0, 0, 0};
    if (!offset) {
        if (n < PLACE_BYTES + HEADER_BYTES)
            return 0;
        header.kind = body[5];
        header.id = get(body + 6, 4);
        header.length = get(body + 10, 4);
        header.crc32 = get(body + 14, 4);
        if (!header.length || header.length > MAX_LENGTH)
            return 0;
    }
    p->r_tour = body[0] & 15;
    if (p->r_refusing)
        return 1;
    if (ahead) {
        if (ahead >= 128) {
            say_where(p);
        } else if (p->r_begun && is_whole(p)) {
            p->r_missed = 1;
            say_where(p);
        } else {
            p->r_reply = SAY_GO_BACK;
        }
    } else if (!offset && !(p->r_begun && p->r_have)) {
        begin(p, &header, body + PLACE_BYTES + HEADER_BYTES, n - PLACE_BYTES - HEADER_BYTES);
    } else if (!p->r_begun || offset > p->r_have) {
        p->r_reply = SAY_GO_BACK;
    } else if (offset == p->r_have && n > PLACE_BYTES && !is_whole(p)) {
        take(p, body + PLACE_BYTES, n - PLACE_BYTES);
    } else {
        say_where(p);
    }
    tell_refusal(p);
    return 1;
}

/* Sessions */

static void on_heard(sl_peer *p)
{
    int was_silent = p->tries >= SILENT_AFTER;
    p->tries = 0;
    if (was_silent) {
        hurry(&p->record_timer, p->now_ms);
        hurry(&p->s_timer, p->now_ms);
        p->owner->event(p->context, SL_HEARD, 0);
    }
}

static int on_hello(sl_peer *p, const uint8_t *body, size_t n)
{
    uint8_t version, is_open, max_body;
    uint32_t boot_id;
    int opens;
    if (n < HELLO_BYTES)
        return 0;
    version = body[1];
    is_open = body[4] & OPEN_FLAG;
    boot_id = get(body + 5, 4);
    max_body = body[13];
    if (body[3] != INSTRUMENT || body[2] < 1 || body[2] > version || !boot_id || max_body < LEAST_BODY)
        return 0;
    if (body[2] > VERSION) {
        if (p->refused_version != version)
            p->owner->event(p->context, SL_WRONG_VERSION, version);
        p->refused_version = version;
        return 1;
    }
    if (boot_id != p->peer_boot_id) {
        p->was_reset = p->peer_boot_id != 0;
        p->peer_boot_id = boot_id;
        p->is_open = 0;
        forget(&p->hello_timer, HELLO_MS);
        restart_sender(p, max_body < SL_MAX_BODY ? max_body : (uint8_t)SL_MAX_BODY);
        restart_receiver(p);
        if (p->was_reset) {
            p->power = SL_POWER_STAYS;
            restart_records(p);
        }
    }
    on_heard(p);
    opens = get(body + 9, 4) == p->boot_id;
    if (!opens || !is_open)
        p->hello_pending = 1;
    if (opens && !p->is_open) {
        p->is_open = 1;
        forget(&p->hello_timer, HELLO_MS);
        p->owner->event(p->context, SL_OPENED, p->was_reset);
    }
    return 1;
}

static size_t hello(const sl_peer *p, uint8_t *body)
{
    body[0] = HELLO;
    body[1] = VERSION;
    body[2] = LOWEST_VERSION;
    body[3] = HOST;
    body[4] = p->is_open ? OPEN_FLAG : 0;
    put(body + 5, p->boot_id, 4);
    put(body + 9, p->peer_boot_id, 4);
    body[13] = SL_MAX_BODY;
    put(body + 14, p->max_object, 4);
    put(body + 18, p->capabilities, 2);
    return HELLO_BYTES - 1;
}
