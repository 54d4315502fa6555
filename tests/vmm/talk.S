/* talk.S - a guest to talk to: prints "talk ready", then sleeps. It sends back
 * what comes in over the serial port, except
 *   Q  powers off     P  panics     R  resets     T  triple fault
 *   B  keeps its processor busy and hears nothing more
 * and it powers off when the power button is pressed. */
#include "guest.inc"

#define V_SERIAL 0x31
#define V_SCI 0x32
#define LEVEL (1 << 15)

guest_main:
        /* The 8259s stay out of it. */
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        call guest_lapic_on
        movl $V_SERIAL, %edi
        leaq on_serial(%rip), %rsi
        call guest_set_gate
        movl $V_SCI, %edi
        leaq on_sci(%rip), %rsi
        call guest_set_gate
        movl $4, %edi
        movl $V_SERIAL, %esi
        xorl %edx, %edx
        call guest_ioapic_route
        movl $9, %edi
        movl $V_SCI, %esi
        movl $LEVEL, %edx
        call guest_ioapic_route
        movw $COM1 + 4, %dx     /* DTR, RTS, OUT2 */
        movb $0x0b, %al
        outb %al, %dx
        movw $COM1 + 1, %dx     /* received data */
        movb $1, %al
        outb %al, %dx
        movw $PM1_ENABLE, %dx
        movw $1 << 8, %ax
        outw %ax, %dx
        PUTS("talk ready\n")
1:      sti
        hlt
        cli
        cmpl $0, off
        je 1b
        PUTS("talk off\n")
        ret                     /* powers off */

on_serial:
        pushq %rax
        pushq %rcx
        pushq %rdx
2:      movw $COM1 + 2, %dx     /* why */
        inb %dx, %al
        testb $1, %al
        jnz done
        movw $COM1, %dx
        inb %dx, %al
        cmpb $'Q', %al
        je quit
        cmpb $'P', %al
        je panic
        cmpb $'R', %al
        je reset
        cmpb $'T', %al
        je triple
        cmpb $'B', %al
        je busy
        outb %al, %dx
        jmp 2b
quit:   incl off
        jmp 2b
panic:  movw $PVPANIC, %dx
        movb $1, %al
        outb %al, %dx
        jmp guest_hang
reset:  movb $0xfe, %al
        outb %al, $0x64
        jmp guest_hang
busy:   PUTS("talk busy\n")
3:      jmp 3b
triple: lidt no_idt
        ud2

on_sci:
        pushq %rax
        pushq %rcx
        pushq %rdx
        movw $PM1_STATUS, %dx
        inw %dx, %ax
        testw $1 << 8, %ax
        jz done
        outw %ax, %dx           /* ones clear */
        incl off
done:   movl $LAPIC, %ecx
        movl $0, 0xb0(%rcx)
        popq %rdx
        popq %rcx
        popq %rax
        iretq

        .section .data
off:    .long 0
no_idt: .word 0
        .quad 0
