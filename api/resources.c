/* resources.c - the field tables of what runs: flavors, images, instances,
 * nodes, and what agents say; see resources.h. */
#include <config.h>

#include "api/res-private.h"

const char *const api_part_names[] = {"kernel", "initrd", "disk", NULL};
const char *const api_format_names[] = {"raw", "qcow2", NULL};
const char *const api_image_state_names[] = {"pending", "active", NULL};
const char *const api_instance_state_names[] = {
    "creating",  "running",  "stopping",   "stopped",  "starting",
    "rebooting", "deleting", "error",      "deleted",  "pausing",
    "paused",    "resuming", "rebuilding", "resizing", NULL};
const char *const api_batch_policy_names[] = {"all", "fit", NULL};
const char *const api_restart_names[] = {"never", "on-failure", "always", NULL};
const char *const api_operation_state_names[] = {"running", "succeeded",
                                                 "failed", "cancelled", NULL};
const char *const api_node_state_names[] = {"up", "down", NULL};
const char *const api_power_names[] = {"running", "stopped", "deleted", NULL};
const char *const api_request_kind_names[] = {"console_log", "console", "stats",
                                              NULL};
const char *const api_observed_names[] = {"running", "stopped", "failed",
                                          "deleted", "paused",  NULL};

/* clang-format off */
static const struct codec_field fields_flavor[] = {
    F(flavor, id, ID, C, "Id of the flavor"),
    F(flavor, name, NAME, R | C, "Name, unique in the cloud"),
    F(flavor, vcpus, INT, R | C, "Virtual CPUs", .min = 1, .max = 64),
    F(flavor, memory_bytes, INT, R | C | B, "Memory, a multiple of 1 MiB",
      .min = 16 << 20, .max = 4 * TIB),
    F(flavor, disk_bytes, INT, I | C | B, "Root disk; 0 takes the image's size",
      .max = 64 * TIB),
    LIMITS(flavor, I, 1, API_CPU_SHARES_DEFAULT),
    F(flavor, price_per_hour, DECIMAL, I | C | O, "Price of one instance for "
      "an hour, in the cloud's currency", .max = 20),
    F(flavor, generation, INT, 0, "Number of changes"),
    F(flavor, created_at, TIME, C, "When it was created"),
};
TABLE(flavor, flavor, "Flavor", "A size of instance.");

static const struct codec_field fields_image_part[] = {
    F(image_part, name, ENUM, R | C, "Which part", .names = api_part_names),
    F(image_part, format, ENUM, I | C, "Format of a disk",
      .names = api_format_names, .dflt = FORMAT_RAW),
    F(image_part, size_bytes, INT, C | B, "Bytes uploaded; 0 while missing"),
    F(image_part, virtual_bytes, INT, B, "Size of a disk as the guest sees it"),
    F(image_part, sha256, STRING, C | O, "SHA-256 of the bytes, in hex"),
};
TABLE(image_part, image_part, "ImagePart", "One file of an image.");

static const struct codec_field fields_image[] = {
    F(image, id, ID, C, "Id of the image"),
    F(image, name, NAME, R | C, "Name, unique in the project"),
    F(image, project_id, ID, O, "The project that owns it"),
    {.name = "public", .type = CODEC_BOOL,
     .offset = offsetof(struct api_image, is_public), .flags = I | C,
     .doc = "Every project may use it (set by operators only)"},
    F(image, state, ENUM, C, "active once all parts are there",
      .names = api_image_state_names),
    F(image, cmdline, STRING, I | O, "Kernel command line", .max = 2048),
    F(image, parts, LIST, R, "The files it is made of: kernel and initrd, or a "
      "disk, or both", .sub = &table_image_part, .min = 1, .max = 3),
    F(image, size_bytes, INT, C | B, "Bytes of all parts"),
    F(image, generation, INT, 0, "Number of changes"),
    F(image, created_at, TIME, C, "When it was created"),
};
TABLE(image, image, "Image", "What an instance boots: a kernel, a disk, or both.");

static const struct codec_field fields_fault[] = {
    F(fault, code, STRING, I | C, "Stable word for programs", .max = 64),
    F(fault, message, TEXT, I | C, "What went wrong, for people", .max = 4096),
};
TABLE(fault, fault, "Fault", "Why something failed.");

static const struct codec_field fields_instance[] = {
    F(instance, id, ID, C, "Id of the instance"),
    F(instance, name, NAME, R | C, "Name, unique in the project"),
    F(instance, project_id, ID, 0, "The project that owns it"),
    F(instance, state, ENUM, C, "What it does now",
      .names = api_instance_state_names),
    F(instance, flavor, REF, R | C, "Flavor (name or id; answered as name)"),
    F(instance, image, REF, R | C, "Image (name or id; answered as name)"),
    F(instance, flavor_id, ID, 0, "Id of the flavor"),
    F(instance, image_id, ID, 0, "Id of the image"),
    F(instance, vcpus, INT, C, "Virtual CPUs, from the flavor"),
    F(instance, memory_bytes, INT, C | B, "Memory, from the flavor"),
    F(instance, disk_bytes, INT, B, "Root disk, from the flavor"),
    LIMITS(instance, O, 0, 0),
    F(instance, labels, LABELS, I | O, "Labels, to find and to bill by",
      .max = API_LABELS_MAX),
    F(instance, keypairs, STRINGS, I | O, "Keypairs (names or ids; answered as "
      "names) whose public keys cloud-init puts in", .max = 16),
    F(instance, user_data, TEXT, I | O, "For cloud-init; answered by "
      "/v1/instances/{instance}/user-data only", .max = API_USER_DATA_MAX),
    F(instance, locked, BOOL, I | O, "Nothing changes it but unlocking"),
    F(instance, delete_protection, BOOL, I | O, "It cannot be deleted or "
      "rebuilt"),
    F(instance, restart_policy, ENUM, I, "When its node starts it again by "
      "itself: on-failure (the default) unless the API stopped it or it powered "
      "itself off, always unless the API stopped it",
      .names = api_restart_names, .dflt = RESTART_ON_FAILURE),
    F(instance, restart_count, INT, 0, "How often its restart policy had it "
      "started again, in all"),
    F(instance, run, INT, 0, "Number of its latest start"),
    F(instance, stop_reason, STRING, O, "Why it does not run"),
    F(instance, last_end_reason, STRING, O, "Why it ended the last time"),
    F(instance, fault, OBJECT, O, "Why it is in state error, or why its last "
      "restart failed", .sub = &table_fault),
    F(instance, node_id, ID, O, "Where it is; operators see this"),
    F(instance, operation_id, ID, O, "The latest operation on it"),
    F(instance, generation, INT, 0, "Number of changes to what is desired"),
    F(instance, created_at, TIME, C, "When it was created"),
    F(instance, started_at, TIME, O, "When it began to run, while it runs"),
};
TABLE(instance, instance, "Instance", "A virtual machine.");

static const struct codec_field fields_instance_change[] = {
    F(instance_change, name, NAME, I, "A new name, unique in the project"),
    F(instance_change, restart_policy, ENUM, I, "When its node starts it again "
      "by itself, from its next end on", .names = api_restart_names, .dflt = -1),
    F(instance_change, labels, LABELS, I, "All of its labels from now on",
      .max = API_LABELS_MAX,
      .given = offsetof(struct api_instance_change, has_labels) + 1),
    F(instance_change, locked, FLAG, I, "Nothing changes it but unlocking; "
      "admins unlock"),
    F(instance_change, delete_protection, FLAG, I, "It cannot be deleted or "
      "rebuilt"),
};
TABLE(instance_change, instance_change, "InstanceChange",
      "What to change of an instance; what is absent stays.");

static const struct codec_field fields_instance_batch[] = {
    F(instance_batch, instance, OBJECT, R | O, "One of them, as to create it; "
      "-1, -2 and so on are appended to its name", .sub = &table_instance),
    F(instance_batch, count, INT, R, "How many", .min = 1, .max = 1000),
    F(instance_batch, policy, ENUM, I, "all: these or none; fit: as many as "
      "there is room and quota for, at least one",
      .names = api_batch_policy_names, .dflt = BATCH_ALL),
    F(instance_batch, created, INT, 0, "How many were made"),
    F(instance_batch, items, LIST, 0, "Those that were made",
      .sub = &table_instance),
};
TABLE(instance_batch, instance_batch, "InstanceBatch",
      "Many instances of one description.");

static const struct codec_field fields_rebuild_request[] = {
    F(rebuild_request, image, REF, R, "Image of the new root disk"),
    F(rebuild_request, user_data, TEXT, I, "For cloud-init [as before]",
      .max = API_USER_DATA_MAX),
};
TABLE(rebuild_request, rebuild_request, "RebuildRequest",
      "What to make an instance's disk anew from.");

static const struct codec_field fields_resize_request[] = {
    F(resize_request, flavor, REF, R, "The new flavor; its disk may not be "
      "smaller"),
};
TABLE(resize_request, resize_request, "ResizeRequest", "A new size.");

static const struct codec_field fields_refusal[] = {
    F(refusal, reason, STRING, C, "Why"),
    F(refusal, nodes, INT, C, "How many nodes"),
};
TABLE(refusal, refusal, "Refusal", "Why nodes were not taken.");

static const struct codec_field fields_dry_run[] = {
    F(dry_run, fits, BOOL, C, "It would be done"),
    F(dry_run, count, INT, C, "How many instances would be made"),
    F(dry_run, node_id, ID, O, "Where the first would be; operators see this"),
    F(dry_run, refusals, LIST, 0, "Why nodes were not taken for the first that "
      "does not fit", .sub = &table_refusal),
    F(dry_run, quota, LIST, O, "The quotas that do not allow it",
      .sub = &table_quota_fault),
    F(dry_run, quota_after, OBJECT, 0, "The project's quota with them",
      .sub = &table_quota),
    F(dry_run, price_per_hour, DECIMAL, C | O, "Price of all of them for an "
      "hour; absent: the flavor has none"),
};
TABLE(dry_run, dry_run, "DryRun", "What a create would do.");

static const struct codec_field fields_stop_request[] = {
    F(stop_request, force, BOOL, I, "End it without asking the guest"),
};
TABLE(stop_request, stop_request, "StopRequest", "How to stop.");

static const struct codec_field fields_operation[] = {
    F(operation, id, ID, C, "Id of the operation"),
    F(operation, kind, STRING, C, "What is done, such as instance.create"),
    F(operation, state, ENUM, C, "How far it is",
      .names = api_operation_state_names),
    F(operation, step, STRING, C | O, "What it does or did last"),
    F(operation, resource_type, STRING, 0, "Kind of resource it works on"),
    F(operation, resource_id, ID, C, "The resource"),
    F(operation, project_id, ID, O, "The project it belongs to"),
    F(operation, reason, STRING, O, "What it waits for, where its node says so",
      .max = 4096),
    F(operation, stuck, BOOL, 0, "No progress for a while, or its node does "
      "not report"),
    F(operation, can_cancel, BOOL, 0, "It can still be undone by cancelling"),
    F(operation, attempt, INT, 0, "1, and one more for each retry"),
    F(operation, problem, OBJECT, O, "Why it failed", .sub = &table_fault),
    F(operation, generation, INT, 0, "Number of changes"),
    F(operation, updated_at, TIME, O, "When its step changed last"),
    F(operation, request_id, STRING, O, "The X-Request-Id that caused it"),
    F(operation, created_at, TIME, C, "When it began"),
    F(operation, finished_at, TIME, C, "When it ended"),
};
TABLE(operation, operation, "Operation", "Work that goes on after its request was answered.");

static const struct codec_field fields_stats[] = {
    F(stats, cpu_ns, INT, I | C, "CPU time used, nanoseconds", .max = INT64_MAX),
    F(stats, memory_bytes, INT, I | C | B, "Memory resident on the node", .max = INT64_MAX),
    F(stats, disk_read_bytes, INT, I | C | B, "Bytes read from disks", .max = INT64_MAX),
    F(stats, disk_write_bytes, INT, I | C | B, "Bytes written to disks", .max = INT64_MAX),
    F(stats, disk_read_ops, INT, I, "Reads of disks", .max = INT64_MAX),
    F(stats, disk_write_ops, INT, I, "Writes to disks", .max = INT64_MAX),
    F(stats, net_rx_bytes, INT, I | C | B, "Bytes received", .max = INT64_MAX),
    F(stats, net_tx_bytes, INT, I | C | B, "Bytes sent", .max = INT64_MAX),
};
TABLE(stats, stats, "Stats", "Cumulative figures of a running instance.");

static const struct codec_field fields_usage_item[] = {
    F(usage_item, instance_id, ID, C, "The instance"),
    F(usage_item, instance_name, NAME, C, "Its name"),
    F(usage_item, project_id, ID, 0, "Its project"),
    F(usage_item, running_seconds, DECIMAL, C, "Seconds it ran in the period"),
    F(usage_item, vcpu_hours, DECIMAL, C, "vCPU × hours"),
    F(usage_item, memory_gib_hours, DECIMAL, C, "GiB of memory × hours"),
    F(usage_item, disk_gib_hours, DECIMAL, C, "GiB of disk × hours while running"),
    F(usage_item, intervals, INT, 0, "Runs that touch the period"),
    F(usage_item, open, BOOL, 0, "It runs now"),
    F(usage_item, first_start, TIME, 0, "Start of the first of these runs"),
    F(usage_item, last_end, TIME, O, "End of the last, unless it runs now"),
};
TABLE(usage_item, usage_item, "UsageItem", "What one instance used.");

static const struct codec_field fields_usage[] = {
    F(usage, from, TIME, C, "Start of the period"),
    F(usage, to, TIME, C, "End of the period"),
    F(usage, running_seconds, DECIMAL, C, "Sum over all items of all pages"),
    F(usage, vcpu_hours, DECIMAL, C, "Sum over all items of all pages"),
    F(usage, memory_gib_hours, DECIMAL, C, "Sum over all items of all pages"),
    F(usage, disk_gib_hours, DECIMAL, C, "Sum over all items of all pages"),
    F(usage, items, LIST, 0, "One per instance", .sub = &table_usage_item),
    F(usage, next_page_token, STRING, O, "Asks for the next page"),
};
TABLE(usage, usage, "Usage", "What was used in a period.");

static const struct codec_field fields_node[] = {
    F(node, id, ID, C, "Id of the node"),
    F(node, name, NAME, C, "Its name"),
    F(node, state, ENUM, C, "up while its agent reports", .names = api_node_state_names),
    F(node, schedulable, BOOL, C, "New instances may be placed on it"),
    F(node, driver, STRING, C | O, "Hypervisor driver"),
    F(node, accel, STRING, C | O, "kvm, tcg or sim"),
    F(node, version, STRING, O, "Version of the agent"),
    F(node, hypervisor, STRING, O, "Version of the hypervisor"),
    F(node, vcpus, INT, C, "Processors"),
    F(node, memory_bytes, INT, C | B, "Memory for instances"),
    F(node, disk_bytes, INT, C | B, "Disk for instances"),
    F(node, vcpus_limit, INT, 0, "Processors × overcommit"),
    F(node, memory_limit_bytes, INT, B, "Memory × overcommit"),
    F(node, disk_limit_bytes, INT, B, "Disk × overcommit"),
    F(node, vcpus_claimed, INT, C, "vCPUs claimed by instances"),
    F(node, memory_claimed_bytes, INT, C | B, "Memory claimed"),
    F(node, disk_claimed_bytes, INT, B, "Disk claimed"),
    F(node, instances, INT, C, "Instances placed here"),
    F(node, traits, STRINGS, 0, "What its driver can do"),
    F(node, quarantined, STRINGS, 0, "VMs found there that nobody asked for"),
    F(node, last_seen_at, TIME, C, "Its agent's last report"),
    F(node, generation, INT, 0, "Number of changes by operators"),
    F(node, created_at, TIME, 0, "When it joined"),
};
TABLE(node, node, "Node", "A machine that runs instances.");

static const struct codec_field fields_join_token[] = {
    F(join_token, id, ID, 0, "Id of the join token"),
    F(join_token, ttl_s, INT, I, "Seconds until it expires", .min = 10,
      .max = 7 * 86400, .dflt = 3600),
    F(join_token, token, STRING, C, "The text to give to one agent"),
    F(join_token, expires_at, TIME, C, "When it expires"),
};
TABLE(join_token, join_token, "JoinToken", "Lets one node join, once.");

static const struct codec_field fields_problem_field[] = {
    F(problem_field, pointer, STRING, 0, "JSON pointer to the field"),
    F(problem_field, code, STRING, 0, "Stable word"),
    F(problem_field, message, TEXT, 0, "What is wrong with it", .max = 4096),
};
static TABLE(problem_field, problem_field, "ProblemField", "One field's fault.");

static const struct codec_field fields_problem[] = {
    F(problem, type, STRING, I, "about:blank"),
    F(problem, title, STRING, I, "The HTTP status in words"),
    F(problem, status, INT, I, "The HTTP status"),
    F(problem, detail, TEXT, I, "What went wrong and what to do", .max = 4096),
    F(problem, code, STRING, I, "Stable word for programs"),
    F(problem, request_id, STRING, I | O, "The X-Request-Id of this request"),
    F(problem, errors, LIST, O, "The fields at fault", .sub = &table_problem_field),
    F(problem, quota, LIST, I | O, "quota_exceeded: which, and the numbers",
      .sub = &table_quota_fault, .max = 16),
};
TABLE(problem, problem, "Problem", "An error (RFC 9457).");

static const struct codec_field fields_join[] = {
    F(join, token, STRING, R, "The join token"),
    F(join, name, NAME, R, "Name of the node"),
    F(join, csr, TEXT, R, "Certificate request (PKCS #10, PEM)", .max = 16384),
};
TABLE(join, join, "Join", "A node asks to join.");

static const struct codec_field fields_joined[] = {
    F(joined, node_id, ID, I, "Id of the node"),
    F(joined, certificate, TEXT, I, "Its certificate, PEM", .max = 65536),
    F(joined, ca, TEXT, I, "The CA's certificate, PEM", .max = 65536),
};
TABLE(joined, joined, "Joined", "A node's identity.");

static const struct codec_field fields_certificate_request[] = {
    F(certificate_request, csr, TEXT, R, "Certificate request (PKCS #10, PEM)",
      .max = 16384),
};
TABLE(certificate_request, certificate_request, "CertificateRequest",
      "A node asks for a fresh certificate.");

static const struct codec_field fields_desired_part[] = {
    F(image_part, name, ENUM, R, "Which part", .names = api_part_names),
    F(image_part, format, ENUM, I, "Format of a disk", .names = api_format_names),
    F(image_part, size_bytes, INT, R, "Its size", .min = 1, .max = INT64_MAX),
    F(image_part, virtual_bytes, INT, I, "Size as the guest sees it", .max = INT64_MAX),
    F(image_part, sha256, STRING, R, "SHA-256 in hex", .min = 64, .max = 64),
};
static TABLE(desired_part, image_part, "DesiredPart", "A part to have in the cache.");

static const struct codec_field fields_desired_image[] = {
    F(desired_image, id, ID, R, "The image"),
    F(desired_image, cmdline, STRING, I | O, "Kernel command line", .max = 2048),
    F(desired_image, parts, LIST, R, "Its parts", .sub = &table_desired_part,
      .min = 1, .max = 3),
};
static TABLE(desired_image, desired_image, "DesiredImage", "What to boot.");

static const struct codec_field fields_desired_instance[] = {
    F(desired_instance, id, ID, R, "The instance"),
    F(desired_instance, project_id, ID, R, "Its project"),
    F(desired_instance, name, NAME, R, "Its name"),
    F(desired_instance, seq, INT, R, "Number of this change", .min = 1, .max = INT64_MAX),
    F(desired_instance, run, INT, R, "Start number it should be at", .min = 1, .max = INT64_MAX),
    F(desired_instance, power, ENUM, R, "What it should do", .names = api_power_names),
    F(desired_instance, force, BOOL, I, "Stop without asking the guest"),
    F(desired_instance, paused, BOOL, I | O, "Where it runs it is halted"),
    F(desired_instance, restart_policy, ENUM, I, "When to start it again "
      "without being asked", .names = api_restart_names),
    F(desired_instance, vcpus, INT, R, "Virtual CPUs", .min = 1, .max = 64),
    F(desired_instance, memory_bytes, INT, R, "Memory", .min = 1 << 20, .max = 4 * TIB),
    F(desired_instance, disk_bytes, INT, I, "Root disk", .max = 64 * TIB),
    LIMITS(desired_instance, I | O, 0, 0),
    F(desired_instance, image, OBJECT, I | O, "What to boot", .sub = &table_desired_image),
    F(desired_instance, disk_epoch, INT, I | O, "Which root disk; one of an "
      "older epoch is made anew", .max = INT64_MAX),
    F(desired_instance, user_data, TEXT, I | O, "For cloud-init",
      .max = API_USER_DATA_MAX),
    F(desired_instance, keys, STRINGS, I | O, "Public SSH keys", .max = 16,
      .item_max = 16384),
    F(desired_instance, request_id, STRING, I | O, "The request that caused it"),
};
TABLE(desired_instance, desired_instance, "DesiredInstance", "An instance as it should be.");

static const struct codec_field fields_node_request[] = {
    F(node_request, id, ID, R, "Id of the request"),
    F(node_request, kind, ENUM, R, "What is asked", .names = api_request_kind_names),
    F(node_request, instance_id, ID, R, "Of which instance"),
    F(node_request, offset, INT, I, "Console log: first byte; negative: the end",
      .min = -1, .max = INT64_MAX),
    F(node_request, limit, INT, I, "Console log: bytes at most", .max = 1 << 20),
};
TABLE(node_request, node_request, "NodeRequest", "A question to a node.");

static const struct codec_field fields_desired[] = {
    F(desired, seq, INT, R, "Sequence number of this answer", .max = INT64_MAX),
    F(desired, full, BOOL, I, "Part of a complete listing"),
    F(desired, more, BOOL, I, "There is more"),
    F(desired, instances, LIST, I, "What changed", .sub = &table_desired_instance, .max = 1000),
    F(desired, requests, LIST, I, "What is asked", .sub = &table_node_request, .max = 1000),
};
TABLE(desired, desired, "Desired", "What a node should run.");

static const struct codec_field fields_host[] = {
    F(host, driver, STRING, R, "Driver", .max = 32),
    F(host, accel, STRING, I, "Acceleration", .max = 32),
    F(host, agent_version, STRING, I, "Version of the agent", .max = 64),
    F(host, hypervisor, STRING, I, "Version of the hypervisor", .max = 64),
    F(host, vcpus, INT, R, "Processors", .min = 1, .max = 65536),
    F(host, memory_bytes, INT, R, "Memory for instances", .min = 1 << 20, .max = 1024 * TIB),
    F(host, disk_bytes, INT, R, "Disk for instances", .max = 1024 * 1024 * TIB),
    F(host, memory_free_bytes, INT, I, "Free memory", .max = 1024 * TIB),
    F(host, disk_free_bytes, INT, I, "Free disk", .max = 1024 * 1024 * TIB),
    F(host, traits, STRINGS, I, "What the driver can do", .max = 64),
};
TABLE(host, host, "Host", "What a node has.");

static const struct codec_field fields_observation[] = {
    F(observation, seq, INT, R, "The node's own sequence", .min = 1, .max = INT64_MAX),
    F(observation, instance_id, ID, R, "The instance"),
    F(observation, run, INT, R, "Of which start", .max = INT64_C(1) << 53),
    F(observation, state, ENUM, R, "What was seen", .names = api_observed_names),
    F(observation, age_us, INT, R, "Microseconds since it happened", .max = INT64_MAX),
    F(observation, reason, STRING, I | O, "Why it stopped", .max = 32),
    F(observation, restart, BOOL, I | O, "The node starts the next run by "
      "itself"),
    F(observation, vcpus, INT, I | O, "Virtual CPUs that the run has", .max = 64),
    F(observation, memory_bytes, INT, I | O, "Memory that it has", .max = 4 * TIB),
    F(observation, disk_bytes, INT, I | O, "Its root disk", .max = 64 * TIB),
    F(observation, problem, OBJECT, I | O, "Why it failed", .sub = &table_fault),
};
TABLE(observation, observation, "Observation", "Something that a node saw.");

static const struct codec_field fields_progress[] = {
    F(progress, instance_id, ID, R, "The instance"),
    F(progress, run, INT, R, "Of which start", .max = INT64_C(1) << 53),
    F(progress, step, STRING, R, "What is done, such as: image", .max = 64),
    F(progress, reason, TEXT, I | O, "What it waits for", .max = 1024),
};
TABLE(progress, progress, "Progress", "Where the work on an instance is.");

static const struct codec_field fields_report[] = {
    F(report, progress, LIST, I | O, "Where work is", .sub = &table_progress,
      .max = 1000),
    F(report, host, OBJECT, I | O, "What the node has", .sub = &table_host),
    F(report, observations, LIST, I, "What it saw", .sub = &table_observation, .max = 1000),
    F(report, quarantined, STRINGS, I, "VMs that it does not know", .max = 1000),
};
TABLE(report, report, "Report", "Heartbeat and observations of a node.");

static const struct codec_field fields_report_ack[] = {
    F(report_ack, seq, INT, I, "All up to here is stored", .max = INT64_MAX),
};
TABLE(report_ack, report_ack, "ReportAck", "What the controller has stored.");
