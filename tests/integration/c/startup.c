/* The least that a Cortex-M needs before main: vectors, memory, the floating-point unit, semihosting. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t _sidata, _sdata, _edata, _sbss, _ebss, _estack;
extern void initialise_monitor_handles(void);
int main(void);
void Reset_Handler(void);
void Fault_Handler(void);
void _init(void); /* newlib calls both, and the compiler's start files, which have them, are left out */
void _fini(void);

void Reset_Handler(void)
{
    memcpy(&_sdata, &_sidata, (size_t)((char *)&_edata - (char *)&_sdata));
    memset(&_sbss, 0, (size_t)((char *)&_ebss - (char *)&_sbss));
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the unit */
    __asm volatile("dsb\n\tisb");
#endif
#ifdef SEMIHOSTING
    initialise_monitor_handles();
    exit(main());
#else
    (void)main();
    for (;;) {
    }
#endif
}

void _init(void)
{
}

void _fini(void)
{
}

void Fault_Handler(void)
{
    abort();
}

__attribute__((section(".vectors"), used)) static const struct {
    const void *stack;
    void (*handlers[6])(void);
} vectors = {&_estack,
             {Reset_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler}};
