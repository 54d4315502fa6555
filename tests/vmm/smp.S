/* smp.S - starts all other processors by INIT and SIPI; each adds its APIC id
 * to a set. The number of them is on the command line, as one character that
 * is '0' plus the number. Prints how many came, and the set. */
#include "guest.inc"
#include "smp.inc"

guest_main:
        PUTS("smp begin\n")
        movl guest_info, %eax
        movq 24(%rax), %rax     /* command line */
        movzbl (%rax), %ebx
        subl $'0', %ebx
        call smp_start
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

        .section .data
        .align 8
ids:    .quad 0
done:   .long 0
