/* hypervisor-backend/vmm/aml.h - writes ACPI machine language.
 * Role:      appends encoded terms to a buffer; packages of terms are opened
 *            and closed, their lengths filled in at the close.
 * Ownership: the buffer is the caller's.   Threads: one owner at a time.
 * Errors:    none; names must be four characters (asserted: they are ours).
 * Source:    ACPI 6.4, chapter 20 (AML) and 6.4 (resource descriptors). */
#ifndef HYPERVISOR_BACKEND_VMM_AML_H
#define HYPERVISOR_BACKEND_VMM_AML_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

void aml_integer(struct buf *b, uint64_t v);
void aml_string(struct buf *b, const char *s);
/* "PNP0A03" as a compressed EISA id. */
void aml_eisa_id(struct buf *b, const char *id);
/* Name (name, …): the value is what is appended next. */
void aml_name(struct buf *b, const char name[4]);

/* Each returns what aml_end() needs. A leading backslash in a scope's name
 * makes it absolute. */
size_t aml_begin_scope(struct buf *b, const char *name);
size_t aml_begin_device(struct buf *b, const char name[4]);
size_t aml_begin_package(struct buf *b, uint8_t n_elements);
/* args: 0 to 7. serialized: one caller at a time. */
size_t aml_begin_method(struct buf *b, const char name[4], unsigned args,
                        bool serialized);
/* The predicate is what is appended next, then what is done. */
size_t aml_begin_if(struct buf *b);
void aml_end(struct buf *b, size_t begin);

/* Terms inside of methods. A path is names with dots between them, from the
 * root if it begins with a backslash; by itself it is a value, or calls a
 * method without arguments. */
void aml_path(struct buf *b, const char *path);
void aml_local(struct buf *b, unsigned n); /* Local0 … Local7 */
void aml_local_and(struct buf *b, unsigned n, uint64_t mask); /* a value */
/* Each is followed by its operands: a value and where to keep it; an object's
 * path and a value. */
void aml_store(struct buf *b);
void aml_notify(struct buf *b);

/* A range of ports, and fields of 32 bits in it one after the other, accessed
 * as such; names has four characters for each. */
void aml_port_region(struct buf *b, const char name[4], uint16_t base,
                     uint8_t len);
void aml_dword_fields(struct buf *b, const char region[4], const char *names);

/* A resource template: descriptors between begin and end. */
struct aml_crs {
    struct buf bytes;
};
void aml_crs_io(struct aml_crs *c, uint16_t base, uint8_t len);
void aml_crs_irq(struct aml_crs *c, unsigned irq);
void aml_crs_bus_range(struct aml_crs *c, uint16_t first, uint16_t last);
void aml_crs_io_window(struct aml_crs *c, uint16_t first, uint16_t last);
void aml_crs_memory_window(struct aml_crs *c, uint32_t first, uint32_t last);
/* Appends the template as a buffer and releases c. */
void aml_crs_end(struct buf *b, struct aml_crs *c);

#endif
