/* end.S - ends the way that the command line's first letter says: p power off,
 * r reset, c reset by the chipset's register (0xcf9), t triple fault, k panic,
 * l loop (counting in memory at 0x200000), h halt, f 100000 bytes at once. */
#include "guest.inc"

guest_main:
        PUTS("end begin\n")
        movl guest_info, %eax
        movq 24(%rax), %rax
        movb (%rax), %al
        cmpb $'r', %al
        je reset
        cmpb $'c', %al
        je chipset
        cmpb $'t', %al
        je triple
        cmpb $'k', %al
        je panic
        cmpb $'l', %al
        je count
        cmpb $'h', %al
        je guest_hang
        cmpb $'f', %al
        je flood
        ret                     /* powers off */
reset:  movb $0xfe, %al
        outb %al, $0x64
        jmp guest_hang
chipset: movw $0xcf9, %dx
        movb $2, %al
        outb %al, %dx
        movb $6, %al
        outb %al, %dx
        jmp guest_hang
panic:  movw $PVPANIC, %dx
        inb %dx, %al
        testb $1, %al
        jz guest_hang
        movb $1, %al
        outb %al, %dx
        jmp guest_hang
triple: lidt no_idt
        ud2
count:  PUTS("counting\n")
1:      incq 0x200000
        jmp 1b
flood:  movb $'x', %al          /* more than any ring holds */
        movl $100000, %ebx
2:      call guest_putc
        decl %ebx
        jnz 2b
        ret
        .section .data
no_idt: .word 0
        .quad 0
