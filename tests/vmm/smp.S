/* smp.S - starts all other processors by INIT and SIPI; each adds its APIC id
 * to a set. The number of them is on the command line, as one character that
 * is '0' plus the number. Prints how many came, and the set. */
#include "guest.inc"

#define TRAMPOLINE 0x8000

guest_main:
        PUTS("smp begin\n")
        movl guest_info, %eax
        movq 24(%rax), %rax     /* command line */
        movzbl (%rax), %ebx
        subl $'0', %ebx
        cld
        leaq trampoline(%rip), %rsi
        movl $TRAMPOLINE, %edi
        movl $trampoline_end - trampoline, %ecx
        rep movsb
        call guest_lapic_on
        movl $LAPIC, %ecx
        movl $0, 0x310(%rcx)
        movl $0x000c4500, 0x300(%rcx)   /* INIT, all but self */
        movl $0x000c4600 | TRAMPOLINE >> 12, 0x300(%rcx)
1:      pause
        cmpl %ebx, guest_cpus_up
        jb 1b
2:      pause
        movl done, %eax
        incl %eax
        cmpl %ebx, %eax
        jb 2b
        PUTS("cpus ")
        movl guest_cpus_up, %edi
        call guest_put_hex
        PUTS(" ids ")
        movq ids, %rdi
        call guest_put_hex
        PUTS("\n")
        ret

        .globl guest_cpu_main
guest_cpu_main:
        movl $LAPIC, %ecx
        movl 0x20(%rcx), %eax
        shrl $24, %eax
        lock btsq %rax, ids
        lock incl done
        ret

        .code16
trampoline:
        cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl %ds:TRAMPOLINE + (gdt_ptr - trampoline)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $8, $flat32
        .align 8
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_ptr:
        .word gdt_ptr - gdt - 1
        .long TRAMPOLINE + (gdt - trampoline)
trampoline_end:
        .code32
flat32: movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        jmp guest_enter64

        .section .data
        .align 8
ids:    .quad 0
done:   .long 0
