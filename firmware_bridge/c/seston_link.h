/* The host's end of seston's native link (docs/link.md), for a float's controller.
 *
 * No allocation, no clock, no port: bytes and milliseconds in, callbacks and bytes out. One object at a time is
 * sent; one at a time arrives, in pieces that the owner puts where it likes. Not thread-safe: one task calls it.
 * What an object is worth (its signature) is not judged here.
 *
 *     sl_init(&peer, &owner, context, boot_id, 65536, SL_CAN_ALL);
 *     for (;;) {
 *         sl_receive(&peer, bytes, n_bytes, milliseconds);        (n_bytes may be 0)
 *         n = sl_to_send(&peer, buffer, sizeof buffer);           (write them to the port)
 *         sleep until bytes come, at most sl_due_ms(&peer);
 *     }
 */
#ifndef SESTON_LINK_H
#define SESTON_LINK_H

#include <stddef.h>
#include <stdint.h>

#define SL_MAX_BODY 240u
#define SL_WINDOW 4u
#define SL_NEVER UINT32_MAX

enum { SL_CAN_MESSAGES = 1, SL_CAN_UPLOADS = 2, SL_CAN_CTD = 4, SL_CAN_POWER = 8, SL_CAN_ALL = 15 };
enum { SL_MESSAGE = 1, SL_CONFIGURATION = 2, SL_COMMAND = 3, SL_MODEL = 4, SL_CLIMATOLOGY = 5 };
enum { SL_DESCENT = 1, SL_PARK = 2, SL_ASCENT = 3 };
enum { SL_ASK_STATUS = 1, SL_ASK_HEALTH = 2 };
enum { SL_TOO_LARGE = 1, SL_DAMAGED = 2, SL_UNWANTED = 3, SL_NO_ROOM = 4 };

#define SL_NO_CYCLE UINT16_MAX
#define SL_NO_VALUE INT32_MIN

/* Numbers of the records that the instrument says. */
enum { SL_STATUS = 32, SL_HEALTH = 33, SL_POWER_WAIT = 34, SL_POWER_SAFE = 35 };

typedef enum { SL_POWER_STAYS, SL_POWER_WISHED, SL_POWER_WAITING, SL_POWER_IS_SAFE } sl_power;

/* What an owner is told; `detail` is in brackets. */
typedef enum {
    SL_OPENED,        /* a session begins (1: the instrument was reset): say again what holds */
    SL_WRONG_VERSION, /* the instrument speaks none that is spoken here (its highest) */
    SL_SILENT,        /* nothing is answered; tries go on, seldom */
    SL_HEARD,         /* the instrument is heard again */
    SL_DELIVERED,     /* the instrument has stored the object that was sent (its id) */
    SL_REFUSED        /* the instrument does not want it (the reason) */
} sl_event;

typedef struct {
    uint32_t id, length, crc32;
    uint8_t kind;
} sl_header;

/* A record from the instrument. Not known: dive and battery UINT16_MAX, board INT8_MIN, disk UINT32_MAX. */
typedef struct {
    uint8_t number;
    union {
        struct {
            uint32_t frames, bytes_waiting;
            uint16_t dive, messages_waiting;
            uint8_t state;
        } status;
        struct {
            uint32_t disk_free_mb;
            uint16_t battery_mv;
            int8_t board_c;
        } health;
        uint16_t wait_s;
    } as;
} sl_record;

enum { SL_STORED = 0, SL_LATER = 1 };

/* None may be null. They may say and send, but not receive. */
typedef struct {
    void (*event)(void *context, sl_event event, uint32_t detail);
    void (*record)(void *context, const sl_record *record);
    /* An object is offered. Return how many of its first bytes are kept from before, and their CRC-32; its
     * length when it is stored already; a reason, negative, when it is not wanted. */
    int32_t (*begin)(void *context, const sl_header *header, uint32_t *crc32);
    /* Its next bytes; an offset that goes back means that those before were damaged. */
    void (*write)(void *context, uint32_t offset, const uint8_t *bytes, size_t n);
    /* It is whole and right: SL_STORED when it is stored for good, SL_LATER when sl_stored or sl_refuse will be
     * called, or a reason, negative. */
    int (*end)(void *context, const sl_header *header);
    /* Bytes of the object that is sent; the same each time. */
    void (*read)(void *context, uint32_t offset, uint8_t *bytes, size_t n);
} sl_owner;

typedef struct {
    uint32_t wait_ms, due_ms;
    uint8_t armed;
} sl_timer;

typedef struct {
    uint8_t n, bytes[7];
} sl_slot;

/* For sl_* alone, but for what is said to be read. */
typedef struct {
    const sl_owner *owner;
    void *context;
    uint32_t boot_id, max_object, now_ms;
    uint32_t peer_boot_id; /* may be read */
    uint16_t capabilities;
    uint16_t damaged, unreadable; /* frames since the start; may be read */
    uint8_t is_open, power;       /* may be read; an sl_power */
    uint8_t was_reset, hello_pending, tries, refused_version;
    sl_timer hello_timer;

    sl_slot queue[7], sent;
    uint8_t n_queued, number, record_pending, taken, has_taken, taken_pending;
    sl_timer record_timer;

    uint8_t time_pending, ctd_pending, time[9], ctd[13];

    sl_header s_header; /* sender */
    uint32_t s_acked, s_next, s_ends[SL_WINDOW];
    uint8_t s_busy, s_begun, s_transfer, s_tour, s_poll, s_n_ends, s_body, s_max_body;
    sl_timer s_timer;

    sl_header r_header; /* receiver */
    uint32_t r_have, r_crc32;
    uint8_t r_has, r_begun, r_missed, r_transfer, r_tour, r_reply, r_refusing, r_damaged;

    uint8_t rx_n, rx_overlong, rx[SL_MAX_BODY + 3];
    uint8_t tx_from, tx_to, tx[SL_MAX_BODY + 5];
} sl_peer;

void sl_init(sl_peer *p, const sl_owner *owner, void *context, uint32_t boot_id, uint32_t max_object,
             uint16_t capabilities);
void sl_receive(sl_peer *p, const uint8_t *bytes, size_t n, uint32_t now_ms);
size_t sl_to_send(sl_peer *p, uint8_t *bytes, size_t limit);
/* Milliseconds until sl_receive must be called though nothing arrives; SL_NEVER when nothing is waited for. */
uint32_t sl_due_ms(const sl_peer *p);

/* Say a record; 0 when a value is out of range (nothing is said), or no session is open for time and CTD. */
int sl_say_time(sl_peer *p, uint64_t utc_ms);
int sl_say_ctd(sl_peer *p, int32_t pressure_mdbar, int32_t temperature_e4_c, int32_t salinity_e4);
int sl_say_start(sl_peer *p, uint8_t phase, uint16_t cycle);
int sl_say_stop(sl_peer *p);
int sl_say_budget(sl_peer *p, uint32_t budget_bytes, uint16_t message_bytes);
int sl_ask(sl_peer *p, uint8_t topic);
int sl_wish_power(sl_peer *p, uint16_t within_s);
int sl_keep_power(sl_peer *p);

/* Send an object; 0 when one is on its way or the header cannot be sent. */
int sl_send(sl_peer *p, const sl_header *header);
/* The object that arrived is stored for good, or not wanted: after SL_LATER. */
void sl_stored(sl_peer *p);
void sl_refuse(sl_peer *p, uint8_t reason);

/* CRC-32 of bytes that follow those of `so_far`, 0 at first. */
uint32_t sl_crc32(uint32_t so_far, const uint8_t *bytes, size_t n);

#endif
