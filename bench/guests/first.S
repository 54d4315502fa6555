/* first.S - a guest whose very first instructions say so on the serial port,
 * for the time from exec to the guest. It then halts for ever. */
        .section .note.pvh, "a", @note
        .align 4
        .long 4, 4, 18          /* name size, description size, PHYS32_ENTRY */
        .asciz "Xen"
        .long first

        .section .text
        .code32
first:  movw $0x3f8, %dx
        movb $'!', %al
        outb %al, %dx
1:      cli
        hlt
        jmp 1b
