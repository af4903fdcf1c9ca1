/* Start, clock, port and log of the board. Numbers: Arm DDI 0479C (CMSDK UART), DAI 0385D (AN385 memory map),
 * DDI 0403E (vector table, SysTick), and Arm's semihosting specification. */
#include "board.h"

#include <string.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)
#define UART_CTRL REGISTER(0x40004008u)
#define UART_BAUDDIV REGISTER(0x40004010u)
#define SYSTICK_CTRL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_VALUE REGISTER(0xE000E018u)

enum { CLOCK_HZ = 25000000, BAUD = 9600 };
enum { TX_FULL = 1, RX_FULL = 2, TX_ENABLE = 1, RX_ENABLE = 2 };
enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18, APPLICATION_EXIT = 0x20026 };

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);
void reset(void);

static volatile uint32_t milliseconds;

static void on_tick(void)
{
    milliseconds++;
}

static void on_fault(void)
{
    board_log("fault\n");
    for (;;)
        ;
}

void reset(void)
{
    memcpy(data_start, data_load, (uintptr_t)data_end - (uintptr_t)data_start);
    memset(bss_start, 0, (uintptr_t)bss_end - (uintptr_t)bss_start);
    main();
    board_power_off();
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)stack_top, reset, on_fault, on_fault, on_fault, on_fault, on_fault, 0, 0, 0, 0, on_fault,
    on_fault, 0, on_fault, on_tick,
};

void board_start(void)
{
    UART_BAUDDIV = CLOCK_HZ / BAUD;
    UART_CTRL = TX_ENABLE | RX_ENABLE;
    SYSTICK_RELOAD = CLOCK_HZ / 1000 - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CTRL = 7; /* processor clock, interrupt, on */
}

uint32_t board_ms(void)
{
    return milliseconds;
}

size_t board_read(uint8_t *bytes, size_t limit)
{
    size_t n = 0;
    while (n < limit && UART_STATE & RX_FULL)
        bytes[n++] = (uint8_t)UART_DATA;
    return n;
}

void board_write(const uint8_t *bytes, size_t n)
{
    while (n--) {
        while (UART_STATE & TX_FULL)
            ;
        UART_DATA = *bytes++;
    }
}

static void semihost(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void board_log(const char *text)
{
    semihost(SYS_WRITE0, (uint32_t)text);
}

void board_power_off(void)
{
    semihost(SYS_EXIT, APPLICATION_EXIT);
    for (;;)
        ;
}
