/* lib-entry.S - what guests in C start from: the PVH entry of guest.inc, one
 * stub per interrupt, which calls guest_irq(number), and the other
 * processors, which call guest_cpu_main(number). */
#include "guest.inc"
#include "smp.inc"

#define FIRST_VECTOR 0x40       /* GUEST_VECTOR in lib-virtio.h */
#define STUBS 64

        .globl guest_info, guest_cpus_up, guest_start_cpus, guest_idt_init

/* void guest_start_cpus(void) */
guest_start_cpus:
        jmp smp_start

/* void guest_idt_init(void): all stubs into the table, both 8259s masked,
 * local APIC on. */
guest_idt_init:
        pushq %rbx
        xorl %ebx, %ebx
1:      leal FIRST_VECTOR(%rbx), %edi
        movq %rbx, %rsi
        shlq $4, %rsi
        leaq stubs(%rsi), %rsi
        call guest_set_gate
        incl %ebx
        cmpl $STUBS, %ebx
        jb 1b
        movb $0xff, %al
        outb %al, $0x21
        outb %al, $0xa1
        call guest_lapic_on
        popq %rbx
        ret

        .align 16
stubs:
        .set n, 0
        .rept STUBS
        .align 16
        pushq %rdi
        movl $n, %edi
        jmp irq
        .set n, n + 1
        .endr
irq:    pushq %rax
        pushq %rcx
        pushq %rdx
        pushq %rsi
        pushq %r8
        pushq %r9
        pushq %r10
        pushq %r11
        cld
        call guest_irq
        popq %r11
        popq %r10
        popq %r9
        popq %r8
        popq %rsi
        popq %rdx
        popq %rcx
        popq %rax
        popq %rdi
        iretq
