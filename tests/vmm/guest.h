/* guest.h - what the bare-metal guests share; included by each .S file.
 * A guest is an ELF file with a PVH entry: it starts in 32-bit protected mode
 * without paging at guest_entry32, which goes on to 64-bit mode with the first
 * 8 GiB mapped one to one in 2 MiB pages, and calls `guest_main`. It reports
 * over the serial port. When guest_main returns, the machine powers off.
 *
 * Registers: the helpers below change rax, rcx, rdx, rsi, rdi and flags only.
 */
#define COM1 0x3f8
#define PM1_STATUS 0x600
#define PM1_ENABLE 0x602
#define PM1_CONTROL 0x604
#define POWER_OFF (1 << 13 | 5 << 10)
#define PVPANIC 0x505
#define LAPIC 0xfee00000
#define IOAPIC 0xfec00000

        .section .note.pvh, "a", @note
        .align 4
        .long 4, 4, 18          /* name size, description size, PHYS32_ENTRY */
        .asciz "Xen"
        .long guest_entry32

        .section .text
        .code32
guest_entry32:
        movl $guest_stack_end, %esp
        movl %ebx, guest_info
        call guest_make_tables
guest_enter64:                  /* application processors come here, too */
        movl $guest_pml4, %eax
        movl %eax, %cr3
        movl %cr4, %eax
        orl $0x620, %eax        /* PAE, SSE */
        movl %eax, %cr4
        movl $0xc0000080, %ecx  /* EFER */
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80000001, %eax
        movl %eax, %cr0
        lgdt guest_gdt_ptr
        ljmp $8, $guest_start64

/* 4096 entries of 2 MiB, eight directories, one pointer table. */
guest_make_tables:
        movl $guest_pdpt + 3, guest_pml4
        movl $guest_pd + 3, %eax
        movl $guest_pdpt, %edi
        movl $8, %ecx
1:      movl %eax, (%edi)
        addl $4096, %eax
        addl $8, %edi
        loop 1b
        movl $guest_pd, %edi
        movl $0x83, %eax
        xorl %edx, %edx
        movl $4096, %ecx
2:      movl %eax, (%edi)
        movl %edx, 4(%edi)
        addl $0x200000, %eax
        adcl $0, %edx
        addl $8, %edi
        loop 2b
        ret

        .code64
guest_start64:
        movl $16, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movl $1, %eax
        lock xaddl %eax, guest_cpus_up
        testl %eax, %eax
        jnz guest_other_cpu
        lidt guest_idt_ptr
        call guest_main
guest_power_off:
        movw $PM1_CONTROL, %dx
        movw $POWER_OFF, %ax
        outw %ax, %dx
guest_hang:
        cli
        hlt
        jmp guest_hang

/* A guest that starts other processors defines guest_cpu_main. */
        .weak guest_cpu_main
guest_other_cpu:                /* eax: its number; one stack each */
        movl %eax, %ecx
        shll $10, %ecx
        leal guest_cpu_stacks(%ecx), %esp
        lidt guest_idt_ptr
        movl %eax, %edi
        call guest_cpu_main
        jmp guest_hang

/* putc: al. The serial port is always ready. */
guest_putc:
        movw $COM1, %dx
        outb %al, %dx
        ret

/* puts: rsi. */
guest_puts:
        lodsb
        testb %al, %al
        jz 1f
        call guest_putc
        jmp guest_puts
1:      ret

/* put_hex: rdi as 16 digits. */
guest_put_hex:
        movl $16, %ecx
1:      rolq $4, %rdi
        movl %edi, %eax
        andl $15, %eax
        cmpl $10, %eax
        jb 2f
        addl $'a' - 10 - '0', %eax
2:      addl $'0', %eax
        call guest_putc
        loop 1b
        ret

/* set_gate: interrupt vector edi goes to rsi. */
guest_set_gate:
        shll $4, %edi
        leaq guest_idt(%rdi), %rdi
        movw %si, (%rdi)
        movw $8, 2(%rdi)
        movw $0x8e00, 4(%rdi)
        shrq $16, %rsi
        movw %si, 6(%rdi)
        shrq $16, %rsi
        movl %esi, 8(%rdi)
        movl $0, 12(%rdi)
        ret

/* ioapic_route: pin edi raises vector esi here, flags in edx (level etc.). */
guest_ioapic_route:
        movl $IOAPIC, %ecx
        leal 0x10(%rdi, %rdi), %eax
        movl %eax, (%rcx)
        orl %edx, %esi
        movl %esi, 0x10(%rcx)
        incl %eax
        movl %eax, (%rcx)
        movl $0, 0x10(%rcx)
        ret

/* lapic_on, with spurious vector 0xff. */
guest_lapic_on:
        movl $LAPIC, %ecx
        movl $0x1ff, 0xf0(%rcx)
        ret

        .section .data
        .align 8
guest_gdt:
        .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
guest_gdt_ptr:
        .word . - guest_gdt - 1
        .long guest_gdt, 0
guest_idt_ptr:
        .word 256 * 16 - 1
        .quad guest_idt
guest_cpus_up:
        .long 0
guest_info:
        .long 0

        .section .bss
        .align 4096
guest_pml4:
        .skip 4096
guest_pdpt:
        .skip 4096
guest_pd:
        .skip 8 * 4096
guest_idt:
        .skip 4096
        .skip 4096
guest_stack_end:
guest_cpu_stacks:               /* number 0 has its own, above */
        .skip 65 * 1024

#define PUTS(words)                                                            \
        .section .rodata;                                                      \
9:      .asciz words;                                                          \
        .section .text;                                                        \
        leaq 9b(%rip), %rsi;                                                   \
        call guest_puts

        .section .text
