#include "seston_link.h"

#include <string.h>

enum { HELLO = 0x01, PIECE = 0x10, PROGRESS = 0x20, GO_BACK = 0x30, NUMBERED = 0x40, TAKEN = 0x41, NOTE = 0x42 };
enum { TIME = 1, CTD = 2, START = 16, STOP, BUDGET, ASK, POWER_WISH, POWER_STAYS, REFUSAL = 48 };
enum { SAY_NOTHING, SAY_PROGRESS, SAY_GO_BACK };
enum { HOST = 1, INSTRUMENT = 2, VERSION = 1, LOWEST_VERSION = 1, OPEN_FLAG = 1 };
enum { HELLO_BYTES = 20, PLACE_BYTES = 5, HEADER_BYTES = 13, LEAST_BODY = 32 };
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
        int32_t kept;
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

static void on_piece(sl_peer *p, const uint8_t *body, size_t n)
{
    uint8_t ahead = (uint8_t)(body[1] - p->r_transfer);
    uint32_t offset = get(body + 2, 3);
    sl_header header = {0, 0, 0, 0};
    if (!offset) {
        header.kind = body[5];
        header.id = get(body + 6, 4);
        header.length = get(body + 10, 4);
        header.crc32 = get(body + 14, 4);
    }
    p->r_tour = body[0] & 15;
    if (p->r_refusing)
        return;
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

static void on_hello(sl_peer *p, const uint8_t *body)
{
    uint32_t boot_id = get(body + 5, 4);
    int opens = get(body + 9, 4) == p->boot_id;
    if (body[2] > VERSION) {
        if (p->refused_version != body[1])
            p->owner->event(p->context, SL_WRONG_VERSION, body[1]);
        p->refused_version = body[1];
        return;
    }
    if (boot_id != p->peer_boot_id) {
        p->was_reset = p->peer_boot_id != 0;
        p->peer_boot_id = boot_id;
        p->is_open = 0;
        forget(&p->hello_timer, HELLO_MS);
        restart_sender(p, body[13] < SL_MAX_BODY ? body[13] : (uint8_t)SL_MAX_BODY);
        restart_receiver(p);
        if (p->was_reset) {
            p->power = SL_POWER_STAYS;
            restart_records(p);
        }
    }
    on_heard(p);
    if (!opens || !(body[4] & OPEN_FLAG))
        p->hello_pending = 1;
    if (opens && !p->is_open) {
        p->is_open = 1;
        forget(&p->hello_timer, HELLO_MS);
        p->owner->event(p->context, SL_OPENED, p->was_reset);
    }
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
    return HELLO_BYTES;
}

/* Bodies */

static int is_readable_record(const uint8_t *record, size_t n)
{
    switch (record[0]) {
    case SL_STATUS:
        return n == 14 && record[1] <= 4;
    case SL_HEALTH:
        return n == 8;
    case SL_POWER_WAIT:
        return n == 3;
    case SL_POWER_SAFE:
        return n == 1;
    case REFUSAL:
        return n == 3 && record[2] >= SL_TOO_LARGE && record[2] <= SL_NO_ROOM;
    default:
        return 0;
    }
}

static int is_readable(const uint8_t *body, size_t n)
{
    uint32_t length;
    switch (body[0]) {
    case HELLO:
        return n >= HELLO_BYTES && body[3] == INSTRUMENT && body[2] >= 1 && body[2] <= body[1] &&
               get(body + 5, 4) && body[13] >= LEAST_BODY;
    case PROGRESS:
        return n == PLACE_BYTES;
    case NUMBERED:
        return n > 2 && is_readable_record(body + 2, n - 2);
    case TAKEN:
        return n == 2;
    default:
        break;
    }
    if ((body[0] & 0xF0) == GO_BACK)
        return n == PLACE_BYTES;
    if ((body[0] & 0xF0) != PIECE || n < PLACE_BYTES)
        return 0;
    if (get(body + 2, 3))
        return 1;
    if (n < PLACE_BYTES + HEADER_BYTES)
        return 0;
    length = get(body + 10, 4);
    return length && length <= MAX_LENGTH;
}

static void on_record(sl_peer *p, const uint8_t *bytes)
{
    sl_record record;
    record.number = bytes[0];
    switch (bytes[0]) {
    case REFUSAL:
        on_refused(p, bytes[1], bytes[2]);
        return;
    case SL_POWER_WAIT:
    case SL_POWER_SAFE:
        if (p->power != SL_POWER_WISHED && p->power != SL_POWER_WAITING)
            return;
        p->power = bytes[0] == SL_POWER_SAFE ? SL_POWER_IS_SAFE : SL_POWER_WAITING;
        record.as.wait_s = bytes[0] == SL_POWER_SAFE ? 0 : (uint16_t)get(bytes + 1, 2);
        break;
    case SL_STATUS:
        record.as.status.state = bytes[1];
        record.as.status.dive = (uint16_t)get(bytes + 2, 2);
        record.as.status.frames = get(bytes + 4, 4);
        record.as.status.messages_waiting = (uint16_t)get(bytes + 8, 2);
        record.as.status.bytes_waiting = get(bytes + 10, 4);
        break;
    default:
        record.as.health.battery_mv = (uint16_t)get(bytes + 1, 2);
        record.as.health.board_c = (int8_t)bytes[3];
        record.as.health.disk_free_mb = get(bytes + 4, 4);
        break;
    }
    p->owner->record(p->context, &record);
}

static void on_taken(sl_peer *p, uint8_t number)
{
    if (!p->sent.n || number != p->number)
        return;
    p->sent.n = 0;
    p->number++;
    forget(&p->record_timer, RETRY_MS);
    if (p->sent.bytes[0] == REFUSAL) {
        p->r_refusing = 0;
        p->r_reply = SAY_GO_BACK;
        pass(p);
    }
}

static void on_body(sl_peer *p, const uint8_t *body, size_t n)
{
    if (!is_readable(body, n)) {
        p->unreadable++;
        return;
    }
    if (body[0] == HELLO) {
        on_hello(p, body);
        return;
    }
    if (!p->is_open)
        return;
    on_heard(p);
    if (body[0] == NUMBERED) {
        int is_new = !p->has_taken || body[1] != p->taken;
        p->taken_pending = p->has_taken = 1;
        p->taken = body[1];
        if (is_new)
            on_record(p, body + 2);
    } else if (body[0] == TAKEN) {
        on_taken(p, body[1]);
    } else if ((body[0] & 0xF0) == PIECE) {
        on_piece(p, body, n);
    } else {
        on_progress(p, body);
    }
}

/* Undoes COBS in place; the number of bytes, 0 when it cannot be undone. */
static size_t undo_cobs(uint8_t *bytes, size_t n)
{
    size_t from = 0, to = 0;
    while (from < n) {
        size_t end = from + bytes[from];
        if (end > n)
            return 0;
        for (from++; from < end; from++)
            bytes[to++] = bytes[from];
        if (from < n)
            bytes[to++] = 0;
    }
    return to;
}

static void on_frame(sl_peer *p)
{
    size_t n = p->rx_overlong ? 0 : undo_cobs(p->rx, p->rx_n);
    if (n > 2 && crc16(p->rx, n - 2) == get(p->rx + n - 2, 2)) {
        on_body(p, p->rx, n - 2);
        return;
    }
    p->damaged++;
    if (p->is_open && !p->r_refusing && !(p->r_begun && is_whole(p)))
        p->r_reply = SAY_GO_BACK;
}

static void on_time(sl_peer *p)
{
    int late = 0;
    if (!p->is_open) {
        if (is_due(&p->hello_timer, p->now_ms)) {
            fail(&p->hello_timer, LONGEST_HELLO_MS);
            p->hello_pending = 1;
        }
        return;
    }
    if (is_due(&p->record_timer, p->now_ms)) {
        fail(&p->record_timer, LONGEST_RETRY_MS);
        p->record_pending = 1;
        late = 1;
    }
    if (is_due(&p->s_timer, p->now_ms)) {
        go_back(p);
        p->s_poll = p->s_busy && p->s_acked == p->s_header.length;
        fail(&p->s_timer, LONGEST_RETRY_MS);
        late = 1;
    }
    if (late && p->tries < SILENT_AFTER && ++p->tries == SILENT_AFTER)
        p->owner->event(p->context, SL_SILENT, 0);
}

void sl_init(sl_peer *p, const sl_owner *owner, void *context, uint32_t boot_id, uint32_t max_object,
             uint16_t capabilities)
{
    memset(p, 0, sizeof *p);
    p->owner = owner;
    p->context = context;
    p->boot_id = boot_id;
    p->max_object = max_object;
    p->capabilities = capabilities;
    p->hello_pending = 1;
    forget(&p->hello_timer, HELLO_MS);
    restart_records(p);
    restart_sender(p, SL_MAX_BODY);
}

void sl_receive(sl_peer *p, const uint8_t *bytes, size_t n, uint32_t now_ms)
{
    if ((int32_t)(now_ms - p->now_ms) > 0)
        p->now_ms = now_ms;
    for (size_t i = 0; i < n; i++) {
        if (bytes[i]) {
            if (p->rx_n < sizeof p->rx)
                p->rx[p->rx_n++] = bytes[i];
            else
                p->rx_overlong = 1;
        } else {
            if (p->rx_n)
                on_frame(p);
            p->rx_n = p->rx_overlong = 0;
        }
    }
    on_time(p);
}

/* The most urgent body; 0 when there is none. */
static size_t next_body(sl_peer *p, uint8_t *body)
{
    if (p->hello_pending) {
        p->hello_pending = 0;
        if (!p->is_open)
            start(&p->hello_timer, p->now_ms);
        return hello(p, body);
    }
    if (!p->is_open)
        return 0;
    if (p->r_reply != SAY_NOTHING) {
        body[0] = p->r_reply == SAY_GO_BACK ? GO_BACK | p->r_tour : PROGRESS;
        body[1] = p->r_transfer;
        put(body + 2, p->r_begun ? p->r_have : 0, 3);
        p->r_reply = SAY_NOTHING;
        return PLACE_BYTES;
    }
    if (p->taken_pending) {
        p->taken_pending = 0;
        body[0] = TAKEN;
        body[1] = p->taken;
        return 2;
    }
    if (!p->sent.n && p->n_queued) {
        p->sent = p->queue[0];
        p->n_queued--;
        memmove(p->queue, p->queue + 1, p->n_queued * sizeof p->queue[0]);
        p->record_pending = 1;
    }
    if (p->sent.n && p->record_pending) {
        p->record_pending = 0;
        start(&p->record_timer, p->now_ms);
        body[0] = NUMBERED;
        body[1] = p->number;
        memcpy(body + 2, p->sent.bytes, p->sent.n);
        return 2u + p->sent.n;
    }
    if (p->time_pending || p->ctd_pending) {
        int is_time = p->time_pending;
        size_t n = is_time ? sizeof p->time : sizeof p->ctd;
        body[0] = NOTE;
        memcpy(body + 1, is_time ? p->time : p->ctd, n);
        if (is_time)
            p->time_pending = 0;
        else
            p->ctd_pending = 0;
        return n + 1;
    }
    return next_piece(p, body);
}

/* A frame into p->tx: a zero before a hello, then COBS of the body and its CRC, then a zero. */
static int compose(sl_peer *p)
{
    uint8_t *body = p->tx + 2;
    size_t n = next_body(p, body), code = 1, end;
    if (!n)
        return 0;
    p->tx[0] = 0;
    p->tx_from = body[0] != HELLO;
    put(body + n, crc16(body, n), 2);
    end = 2 + n + 2;
    for (size_t i = 2; i < end; i++) {
        if (!p->tx[i]) {
            p->tx[code] = (uint8_t)(i - code);
            code = i;
        }
    }
    p->tx[code] = (uint8_t)(end - code);
    p->tx[end] = 0;
    p->tx_to = (uint8_t)(end + 1);
    return 1;
}

size_t sl_to_send(sl_peer *p, uint8_t *bytes, size_t limit)
{
    size_t n = 0;
    while (n < limit && (p->tx_from < p->tx_to || compose(p)))
        while (n < limit && p->tx_from < p->tx_to)
            bytes[n++] = p->tx[p->tx_from++];
    return n;
}

static uint32_t left_ms(const sl_timer *timer, uint32_t now_ms)
{
    if (!timer->armed)
        return SL_NEVER;
    return is_due(timer, now_ms) ? 0 : timer->due_ms - now_ms;
}

uint32_t sl_due_ms(const sl_peer *p)
{
    uint32_t record = left_ms(&p->record_timer, p->now_ms), piece = left_ms(&p->s_timer, p->now_ms);
    if (!p->is_open)
        return left_ms(&p->hello_timer, p->now_ms);
    return record < piece ? record : piece;
}
