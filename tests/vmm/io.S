/* io.S - port and memory mapped exits, and accesses that nobody answers. */
#include "guest.inc"

guest_main:
        PUTS("io begin\n")

        /* The serial port's scratch register holds what is written. */
        movw $COM1 + 7, %dx
        movb $0x5a, %al
        outb %al, %dx
        xorl %eax, %eax
        inb %dx, %al
        cmpb $0x5a, %al
        jne fail
        PUTS("pio ok\n")

        /* Nobody's port: ones; a write there is dropped. */
        movw $0x1234, %dx
        xorl %eax, %eax
        outl %eax, %dx
        inl %dx, %eax
        cmpl $0xffffffff, %eax
        jne fail
        xorl %eax, %eax
        inb %dx, %al
        cmpl $0xff, %eax
        jne fail
        /* A width that the device does not take is nobody's. */
        movw $COM1, %dx
        xorl %eax, %eax
        inw %dx, %ax
        cmpl $0xffff, %eax
        jne fail
        movw $COM1 + 4, %dx     /* and over the end of it */
        inl %dx, %eax
        cmpl $0xffffffff, %eax
        jne fail
        PUTS("pio unclaimed ok\n")

        /* Nobody's memory, in the hole: reads of all widths, a write. */
        movl $0xd0000000, %ebx
        movq $0, (%rbx)
        movq (%rbx), %rax
        cmpq $-1, %rax
        jne fail
        movl 3(%rbx), %eax
        cmpl $0xffffffff, %eax
        jne fail
        xorl %eax, %eax
        movb 7(%rbx), %al
        cmpl $0xff, %eax
        jne fail
        /* Past the end of RAM (these guests have less than 1 GiB). */
        movl $0x40000000, %ebx
        movl (%rbx), %eax
        cmpl $0xffffffff, %eax
        jne fail
        PUTS("mmio unclaimed ok\n")

        /* A string operation: many items in one exit. */
        leaq text(%rip), %rsi
        movl $text_end - text, %ecx
        movw $COM1, %dx
        cld
        rep outsb
        leaq buffer(%rip), %rdi
        movl $64, %ecx
        movw $COM1 + 7, %dx
        rep insb
        cmpb $0x5a, buffer + 63
        jne fail
        PUTS("io end\n")
        ret
fail:
        PUTS("FAILED\n")
        ret

        .section .rodata
text:   .ascii "string ok\n"
text_end:
        .section .bss
buffer: .skip 64
