/* cli/format.h - results as text: tables, YAML, CSV.
 * Role:      pure; everything derives from the field tables.
 * Ownership: inputs borrowed; output is appended to the caller's buffer.
 * Threads:   reentrant (local time as tzset() left it).   Errors: none.
 * Source:    RFC 4180 (CSV), YAML 1.2. */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "api/codec.h"
#include "common/buf.h"

/* One line per item under a line of headers: the fields with CODEC_COL. */
void format_table(const struct codec_table *t, const struct codec_list *items,
                  struct buf *out);
/* One object, a line per field that has a value. */
void format_sheet(const struct codec_table *t, const void *obj,
                  struct buf *out);
/* A header and a record per item: every field that fits into one cell. */
void format_csv(const struct codec_table *t, const struct codec_list *items,
                struct buf *out);
void format_yaml(const struct codec_table *t, const void *obj, struct buf *out);
void format_yaml_list(const struct codec_table *t,
                      const struct codec_list *items, struct buf *out);

/* "512M", "1.5G", "0". */
void format_size(int64_t bytes, struct buf *out);
/* "2026-11-22 16:30:10", local time. */
void format_time(int64_t us, struct buf *out);
/* One cell of RFC 4180, quoted where it must be. */
void format_csv_cell(const char *s, struct buf *out);
/* A YAML scalar that reads back as this very string. */
void format_yaml_string(const char *s, struct buf *out);

#endif
