/* hypervisor-backend/libvirt/lv-private.h - the parts of the libvirt driver.
 * Role:    private to libvirt/ and its tests. README.md has the picture.
 *          Nothing of libvirt.h shows here, so that the tests need not have
 *          it; what does is in lv-libvirt.h. */
#ifndef HYPERVISOR_BACKEND_LIBVIRT_LV_PRIVATE_H
#define HYPERVISOR_BACKEND_LIBVIRT_LV_PRIVATE_H

#include "common/buf.h"
#include "hypervisor-backend/hv-private.h"

/* Our element in a domain's <metadata>. */
#define LV_XMLNS "urn:virga:instance:1"
#define LV_NAME_PREFIX "virga-"

/* ---- lv-xml.c: pure text ---- */

struct lv_xml_env {
    bool kvm;                /* else TCG */
    const bool *disk_direct; /* n_disks: this one's file takes O_DIRECT */
    int64_t prepared_us;     /* see struct lv_meta */
    bool cgroups;            /* libvirt manages them: shares and limits work */
    unsigned node_cpus;
};

/* The domain's description in libvirt's format; spec passed hv_spec_check(). */
void lv_xml_domain(const struct hv_spec *spec, const struct lv_xml_env *env,
                   struct buf *ret);

/* What we keep in a domain's metadata. */
struct lv_meta {
    uint64_t run;
    int64_t prepared_us; /* just before it was started */
    int64_t started_us;  /* when it ran; 0 until the start has returned */
    char dir[1025];      /* the VM's folder */
};

/* The element, with its namespace declared for `prefix` unless NULL. */
void lv_meta_format(const struct lv_meta *m, const char *prefix,
                    struct buf *ret);
/* -EBADMSG when the text is not what lv_meta_format() writes. */
int lv_meta_parse(const char *xml, struct lv_meta *ret) _must_check_;

/* ---- lv-root.c: the folder of the embedded libvirt ---- */

/* Makes `root` ready for qemu:///embed: folders, qemu.conf. */
int lv_root_prepare(const char *root, struct err *reterr) _must_check_;
/* Removes what stands in `root` for QEMU processes that are gone, and calls
 * fn with each one's instance id. To be done before libvirt opens it: libvirt
 * would kill whatever has got that process id meanwhile. */
int lv_root_sweep(const char *root, void (*fn)(const char *id, void *arg),
                  void *arg, struct err *reterr) _must_check_;
/* The process id of the instance's QEMU; -ENOENT when there is none. */
int lv_root_pid(const char *root, const char *id) _must_check_;
/* QEMU's own log of the instance. */
char *lv_root_log(const char *root, const char *id) _must_check_;

/* ---- lv-ends.c: why VMs ended, kept over restarts ---- */

struct lv_end {
    enum hv_end end;
    int64_t ended_us; /* wall clock; 0: nobody saw it */
};

/* Stores how the run ended, unless that is stored already. */
int lv_end_put(const char *dir, const char *id, uint64_t run,
               const struct lv_end *end) _must_check_;
/* -ENOENT when nothing is stored for this run. */
int lv_end_get(const char *dir, const char *id, uint64_t run,
               struct lv_end *ret) _must_check_;
int lv_end_remove(const char *dir, const char *id) _must_check_;

#endif
