/* mem.S - a machine of 5 GiB: memory ends at the hole, goes on at 4 GiB, and
 * the two are not the same bytes. Reads the memory map that it was given. */
#include "guest.inc"

guest_main:
        PUTS("mem begin\n")
        movl guest_info, %eax
        movq 40(%rax), %rbx     /* memory map */
        movl 48(%rax), %ebp     /* entries */
1:      cmpl $1, 16(%rbx)       /* RAM */
        jne 2f
        movq (%rbx), %rdi
        call guest_put_hex
        PUTS(" ")
        movq 8(%rbx), %rdi
        call guest_put_hex
        PUTS("\n")
2:      addq $24, %rbx
        decl %ebp
        jnz 1b

        movl $0xbffffff8, %ebx          /* last of the low part */
        movabsq $0x100000000, %r8       /* first of the high part */
        movabsq $0x17ffffff8, %r9       /* last of it */
        movq $1, (%rbx)
        movq $2, (%r8)
        movq $3, (%r9)
        cmpq $1, (%rbx)
        jne fail
        cmpq $2, (%r8)
        jne fail
        cmpq $3, (%r9)
        jne fail
        cmpq $-1, 8(%rbx)               /* the hole */
        jne fail
        cmpq $-1, 8(%r9)                /* beyond the end */
        jne fail
        PUTS("mem ok\n")
        ret
fail:   PUTS("FAILED\n")
        ret
