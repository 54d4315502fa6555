# tests/vmm/ - guests in C on lib-virtio.c; the assembler ones are in
# hypervisor-backend/vmm/automake.mk. One compiler run each, with none of the
# project's flags; integer code only, as KVM may have to interpret it.
vmm_c_guests = tests/vmm/idle.elf \
	tests/vmm/virtio-balloon.elf tests/vmm/virtio-blk.elf \
	tests/vmm/virtio-console.elf tests/vmm/virtio-net.elf \
	tests/vmm/virtio-rng.elf tests/vmm/virtio-vsock.elf
vmm_hostile_guests = \
	tests/vmm/hostile-balloon.elf tests/vmm/hostile-blk.elf \
	tests/vmm/hostile-console.elf tests/vmm/hostile-flip.elf \
	tests/vmm/hostile-high.elf tests/vmm/hostile-net.elf \
	tests/vmm/hostile-pci.elf tests/vmm/hostile-rng.elf \
	tests/vmm/hostile-vsock.elf
vmm_guest_lib = $(srcdir)/tests/vmm/lib-entry.S \
	$(srcdir)/tests/vmm/lib-virtio.c $(srcdir)/tests/vmm/lib-hostile.c
vmm_guest_files = tests/vmm/guest.inc tests/vmm/guest.ld tests/vmm/smp.inc \
	tests/vmm/lib-entry.S tests/vmm/lib-virtio.c tests/vmm/lib-virtio.h \
	tests/vmm/lib-hostile.c tests/vmm/lib-hostile.h
.c.elf:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && $(CC) -m64 -std=gnu17 -O2 -Wall -Wextra \
		-I$(srcdir) \
		-Werror -ffreestanding -nostdlib -Wl,--gc-sections \
		-ffunction-sections -fdata-sections -static -no-pie -fno-pic \
		-mno-red-zone -mgeneral-regs-only -fno-stack-protector \
		-fcf-protection=none -fno-asynchronous-unwind-tables \
		-fno-strict-aliasing -Wl,--build-id=none \
		-Wl,--no-warn-rwx-segments -Wl,-z,noexecstack -Wl,-e,0x100000 \
		-Wl,-T,$(srcdir)/tests/vmm/guest.ld -o $@ $(vmm_guest_lib) $<
$(vmm_c_guests) $(vmm_hostile_guests): $(vmm_guest_files)
tests/vmm/smp.elf: tests/vmm/smp.inc
check_DATA += $(vmm_c_guests) $(vmm_hostile_guests)
CLEANFILES += $(vmm_c_guests) $(vmm_hostile_guests)
EXTRA_DIST += $(vmm_guest_files) $(vmm_c_guests:.elf=.c) \
	$(vmm_hostile_guests:.elf=.c)
