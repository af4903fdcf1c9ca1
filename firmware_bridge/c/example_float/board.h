/* What the example needs of its board: an Arm MPS2 with a Cortex-M3 (AN385), as qemu has it. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

void board_start(void);
uint32_t board_ms(void); /* since board_start */
size_t board_read(uint8_t *bytes, size_t limit);
void board_write(const uint8_t *bytes, size_t n);
void board_log(const char *text);              /* to whoever watches: semihosting */
void board_power_off(void) __attribute__((noreturn)); /* ends the emulation */

#endif
