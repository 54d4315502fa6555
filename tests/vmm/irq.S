/* irq.S - timer and serial interrupts, then the power button: it prints a line
 * for each, echoes what comes in over the serial port, and powers off when
 * the button is pressed. */
#include "guest.inc"

#define V_TIMER 0x30
#define V_SERIAL 0x31
#define V_SCI 0x32
#define LEVEL (1 << 15)

guest_main:
        PUTS("irq begin\n")
        /* The 8259s stay out of it. */
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        call guest_lapic_on
        movl $V_TIMER, %edi
        leaq on_timer(%rip), %rsi
        call guest_set_gate
        movl $V_SERIAL, %edi
        leaq on_serial(%rip), %rsi
        call guest_set_gate
        movl $V_SCI, %edi
        leaq on_sci(%rip), %rsi
        call guest_set_gate
        movl $2, %edi           /* line 0 is at pin 2 */
        movl $V_TIMER, %esi
        xorl %edx, %edx
        call guest_ioapic_route
        movl $4, %edi
        movl $V_SERIAL, %esi
        xorl %edx, %edx
        call guest_ioapic_route
        movl $9, %edi
        movl $V_SCI, %esi
        movl $LEVEL, %edx
        call guest_ioapic_route

        /* Timer: channel 0, rate generator, 100 Hz. */
        movb $0x34, %al
        outb %al, $0x43
        movl $11932, %eax
        outb %al, $0x40
        movb %ah, %al
        outb %al, $0x40
        sti
1:      hlt
        cmpl $3, ticks
        jb 1b
        cli
        movl $2, %edi           /* enough: masked */
        movl $1 << 16, %esi
        xorl %edx, %edx
        call guest_ioapic_route
        PUTS("timer ok\n")

        /* Serial: OUT2, then the transmitter's interrupt comes at once. */
        movw $COM1 + 4, %dx
        movb $0x0b, %al
        outb %al, %dx
        movw $COM1 + 1, %dx
        movb $2, %al
        outb %al, %dx
        sti
2:      hlt
        cmpl $0, sent
        je 2b
        cli
        PUTS("transmit ok\n")
        movw $COM1 + 1, %dx
        movb $1, %al            /* now only received data */
        outb %al, %dx
        movw $PM1_ENABLE, %dx
        movw $1 << 8, %ax
        outw %ax, %dx
        PUTS("waiting\n")
3:      sti
        hlt
        cli
        cmpl $0, pressed
        je 3b
        PUTS("button ok\n")
        ret

on_timer:
        pushq %rax
        pushq %rcx
        incl ticks
        jmp eoi
on_serial:
        pushq %rax
        pushq %rcx
        pushq %rdx
4:      movw $COM1 + 2, %dx     /* why */
        xorl %eax, %eax
        inb %dx, %al
        testb $1, %al
        jnz 6f
        andl $0x0e, %eax
        cmpl $2, %eax
        je 5f
        movw $COM1, %dx         /* a byte: sent back */
        inb %dx, %al
        outb %al, %dx
        jmp 4b
5:      incl sent
        jmp 4b
6:      popq %rdx
        jmp eoi
on_sci:
        pushq %rax
        pushq %rcx
        pushq %rdx
        movw $PM1_STATUS, %dx
        inw %dx, %ax
        testw $1 << 8, %ax
        jz 7f
        outw %ax, %dx           /* ones clear */
        incl pressed
7:      popq %rdx
eoi:    movl $LAPIC, %ecx
        movl $0, 0xb0(%rcx)
        popq %rcx
        popq %rax
        iretq

        .section .data
ticks:  .long 0
sent:   .long 0
pressed: .long 0
