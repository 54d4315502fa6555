/* exits.S - what an exit costs, by kind: each is done COUNT times, and its
 * ticks of the time stamp counter are printed as "NAME ticks", in hex, after
 * those of the empty loop. */
#include "../../tests/vmm/guest.inc"
#define COUNT 4000
#define UNCLAIMED_PORT 0xe8
#define UNCLAIMED_ADDRESS 0xd0001000

        .macro measure name, body
        PUTS("\name ")
        rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        movq %rax, %r12
        movl $COUNT, %r13d
7:      \body
        decl %r13d
        jnz 7b
        rdtsc
        shlq $32, %rdx
        orq %rdx, %rax
        subq %r12, %rax
        movq %rax, %rdi
        call guest_put_hex
        PUTS("\n")
        .endm

guest_main:
        measure empty, "nop"
        movw $UNCLAIMED_PORT, %bx
        measure pio-out, "movl %ebx, %edx; outb %al, %dx"
        measure pio-in, "movl %ebx, %edx; inb %dx, %al"
        measure serial-status, "movl $0x3fd, %edx; inb %dx, %al"
        movl $UNCLAIMED_ADDRESS, %ebx
        measure mmio-write, "movl %eax, (%rbx)"
        measure mmio-read, "movl (%rbx), %eax"
        PUTS("done\n")
        ret
