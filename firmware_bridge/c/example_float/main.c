/* A float in some two hundred lines: dives, leads the instrument, keeps its messages, and cuts power by agreement.
 *
 * Its sea is a table and its flash is RAM. What a real one has besides: a modem for the messages, and a boot
 * id that is counted in memory which lasts. To build it, and to see it dive with whoever listens on a port:
 *
 *     arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -Os -std=c99 -nostartfiles -T board.ld *.c ../seston_link.c \
 *         -o float.elf
 *     qemu-system-arm -M mps2-an385 -display none -semihosting-config enable=on,target=native \
 *         -serial tcp:127.0.0.1:PORT -kernel float.elf
 */
#include <string.h>

#include "../seston_link.h"
#include "board.h"

enum { BOOT_ID = 1, LARGEST_MESSAGE = 4096, KEPT_BYTES = 65536, KEPT_MESSAGES = 64 };
enum { BUDGET_BYTES = 4000, SBD_BYTES = 340, CYCLE = 117 };
enum { CTD_EVERY_MS = 100, ASK_EVERY_MS = 500, POWER_WITHIN_S = 60 };
#define NOW_UTC_MS 1764158400000u

/* Pressure over time since the start of the dive: down, a moment at depth, and up. */
static const struct {
    uint32_t at_ms;
    int32_t mdbar;
} profile[] = {{0, 0}, {1500, 200000}, {2000, 200000}, {3500, 0}};
enum { POINTS = sizeof profile / sizeof profile[0] };

typedef enum { WAITING, DESCENT, PARK, ASCENT, TRANSFER, POWER_OFF } state;

static sl_peer peer;
static state now_in;
static uint32_t now_ms, dive_ms, ctd_ms, ask_ms;
static sl_header kept[KEPT_MESSAGES];
static uint32_t n_kept, place;
static uint8_t flash[KEPT_BYTES];
static int all_here;

static void log_number(const char *words, uint32_t number)
{
    char text[11];
    size_t at = sizeof text - 1;
    text[at] = 0;
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    board_log(words);
    board_log(text + at);
    board_log("\n");
}

static int32_t pressure_mdbar(uint32_t at_ms)
{
    for (unsigned i = 1; i < POINTS; i++) {
        if (at_ms < profile[i].at_ms) {
            int32_t from = profile[i - 1].mdbar, rise = profile[i].mdbar - from;
            int32_t since = (int32_t)(at_ms - profile[i - 1].at_ms);
            return from + rise / 100 * since / (int32_t)(profile[i].at_ms - profile[i - 1].at_ms) * 100;
        }
    }
    return profile[POINTS - 1].mdbar;
}

/* What holds now, said at every change and to an instrument that has just started. */
static void say_state(void)
{
    switch (now_in) {
    case DESCENT:
    case PARK:
    case ASCENT:
        sl_say_start(&peer, (uint8_t)now_in, CYCLE);
        break;
    case TRANSFER:
        sl_say_stop(&peer);
        break;
    case POWER_OFF:
        sl_wish_power(&peer, POWER_WITHIN_S);
        break;
    default:
        break;
    }
}

static void enter(state next)
{
    now_in = next;
    log_number("state ", next);
    say_state();
}

/* What the link tells */

static void on_event(void *context, sl_event event, uint32_t detail)
{
    (void)context;
    if (event == SL_OPENED) {
        log_number("opened ", detail);
        sl_say_time(&peer, NOW_UTC_MS + now_ms);
        sl_say_budget(&peer, BUDGET_BYTES, SBD_BYTES);
        all_here = 0;
        if (now_in == WAITING) {
            dive_ms = now_ms;
            enter(DESCENT);
        } else {
            say_state();
        }
    }
}

static void on_record(void *context, const sl_record *record)
{
    (void)context;
    if (record->number == SL_STATUS)
        all_here = record->as.status.state == 4 && record->as.status.messages_waiting == 0;
    else if (record->number == SL_POWER_WAIT)
        log_number("wait ", record->as.wait_s);
}

static int32_t on_begin(void *context, const sl_header *header, uint32_t *crc32)
{
    (void)context;
    (void)crc32;
    for (uint32_t i = 0; i < n_kept; i++)
        if (kept[i].id == header->id && kept[i].kind == header->kind && kept[i].crc32 == header->crc32)
            return (int32_t)header->length;
    if (header->kind != SL_MESSAGE)
        return -SL_UNWANTED;
    return n_kept == KEPT_MESSAGES || header->length > KEPT_BYTES - place ? -SL_NO_ROOM : 0;
}

static void on_write(void *context, uint32_t offset, const uint8_t *bytes, size_t n)
{
    (void)context;
    memcpy(flash + place + offset, bytes, n);
}

static int on_end(void *context, const sl_header *header)
{
    (void)context;
    kept[n_kept++] = *header;
    place += header->length;
    log_number("message ", header->id);
    log_number("crc ", sl_crc32(0, flash + place - header->length, header->length));
    return SL_STORED;
}

static void on_read(void *context, uint32_t offset, uint8_t *bytes, size_t n)
{
    (void)context; /* this float uploads nothing */
    (void)offset;
    memset(bytes, 0, n);
}

static const sl_owner owner = {on_event, on_record, on_begin, on_write, on_end, on_read};

/* The dive */

static void dive(void)
{
    uint32_t since_ms = now_ms - dive_ms;
    if (now_ms - ctd_ms >= CTD_EVERY_MS) {
        ctd_ms = now_ms;
        sl_say_ctd(&peer, pressure_mdbar(since_ms), 123400, 350000);
    }
    if (since_ms >= profile[now_in].at_ms)
        enter((state)(now_in + 1));
}

static void surface(void)
{
    if (all_here) {
        enter(POWER_OFF);
    } else if (now_ms - ask_ms >= ASK_EVERY_MS) {
        ask_ms = now_ms;
        sl_ask(&peer, SL_ASK_STATUS);
    }
}

int main(void)
{
    uint8_t bytes[256];
    board_start();
    sl_init(&peer, &owner, NULL, BOOT_ID, LARGEST_MESSAGE, SL_CAN_MESSAGES | SL_CAN_CTD | SL_CAN_POWER);
    while (peer.power != SL_POWER_IS_SAFE) {
        now_ms = board_ms();
        sl_receive(&peer, bytes, board_read(bytes, sizeof bytes), now_ms);
        if (now_in >= DESCENT && now_in <= ASCENT)
            dive();
        else if (now_in == TRANSFER)
            surface();
        board_write(bytes, sl_to_send(&peer, bytes, sizeof bytes));
    }
    log_number("messages ", n_kept);
    log_number("damaged ", peer.damaged);
    board_log("power off\n");
    board_power_off();
}
