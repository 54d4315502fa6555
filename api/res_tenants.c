/* res_tenants.c - the field tables of tenants: projects, users, tokens,
 * sessions, quotas, keypairs; see resources.h. */
#include <config.h>

#include "api/res-private.h"

const char *const api_role_names[] = {"none",     "reader",  "member", "admin",
                                      "operator", "billing", NULL};

#define PASSWORD_MIN 10
#define PASSWORD_MAX 1024

/* clang-format off */
static const struct codec_field fields_project[] = {
    F(project, id, ID, C, "Id of the project"),
    F(project, name, NAME, R | C, "Name, unique in the cloud"),
    F(project, generation, INT, 0, "Number of changes"),
    F(project, created_at, TIME, C, "When it was created"),
};
TABLE(project, project, "Project", "A tenant: owns instances, images and tokens.");

static const struct codec_field fields_token[] = {
    F(token, id, ID, C, "Id of the token"),
    F(token, name, NAME, R | C, "Name, unique in its project"),
    F(token, role, ENUM, I | C, "What its bearer may do",
      .names = api_role_names, .dflt = ROLE_MEMBER),
    F(token, project, REF, I | C | O,
      "The project it acts in; operator tokens have none"),
    F(token, scopes, STRINGS, I | C | O, "What it is good for, such as "
      "instances:read or images:write (write includes read); none: all that "
      "its role may do", .max = 32),
    F(token, user_id, ID, O, "The user who made it, themselves or by a token; "
      "it ends with what they may do in the project"),
    F(token, generation, INT, 0, "Number of changes"),
    F(token, created_at, TIME, C, "When it was created"),
    F(token, expires_at, TIME, I | C | O, "When it stops working; absent: "
      "with the token that made it, or never"),
    F(token, token, STRING, O, "The secret, only in the reply to its creation"),
};
TABLE(token, token, "Token", "A bearer token of the API.");

static const struct codec_field fields_membership[] = {
    F(membership, project_id, ID, 0, "Id of the project"),
    F(membership, project, NAME, C, "Its name"),
    F(membership, user_id, ID, O, "Id of the user"),
    F(membership, user, NAME, C | O, "Their name"),
    F(membership, role, ENUM, C, "What the user may do there",
      .names = api_role_names),
    F(membership, generation, INT, 0, "Grows with each change, also when the "
      "user leaves and comes back"),
};
TABLE(membership, membership, "Membership", "A user's role in a project.");

static const struct codec_field fields_member_set[] = {
    F(member_set, role, ENUM, R, "What the user may do there",
      .names = api_role_names),
};
TABLE(member_set, member_set, "MemberSet", "A role to give.");

static const struct codec_field fields_user[] = {
    F(user, id, ID, C, "Id of the user"),
    F(user, name, NAME, R | C, "Name, unique in the cloud"),
    F(user, password, STRING, R | O, "The password, never answered",
      .min = PASSWORD_MIN, .max = PASSWORD_MAX),
    F(user, project, REF, I | O, "Its home, the first project that it belongs "
      "to; answered as id. An operator may leave it out"),
    F(user, role, ENUM, I, "What it may do there", .names = api_role_names,
      .dflt = ROLE_MEMBER),
    {.name = "operator", .type = CODEC_BOOL,
     .offset = offsetof(struct api_user, is_operator), .flags = I | C,
     .doc = "May do everything, everywhere (set by operators only)"},
    F(user, disabled, BOOL, C, "Cannot sign in"),
    F(user, memberships, LIST, 0, "Where it may do what",
      .sub = &table_membership),
    F(user, generation, INT, 0, "Number of changes"),
    F(user, created_at, TIME, C, "When it was created"),
    F(user, last_login_at, TIME, C | O, "When it last signed in"),
};
TABLE(user, user, "User", "A person who signs in.");

static const struct codec_field fields_user_change[] = {
    F(user_change, password, STRING, I, "A new password; ends all sessions",
      .min = PASSWORD_MIN, .max = PASSWORD_MAX),
    F(user_change, disabled, FLAG, I, "true ends all sessions and refuses new "
      "ones"),
};
TABLE(user_change, user_change, "UserChange",
      "What to change of a user; what is absent stays.");

static const struct codec_field fields_login[] = {
    F(login, user, NAME, R, "Name of the user"),
    F(login, password, STRING, R, "The password", .max = PASSWORD_MAX),
    F(login, project, REF, I, "The project to act in [its home]"),
    F(login, cookie, BOOL, I, "Answer with a cookie and a CSRF token, for "
      "browsers, rather than with a bearer token"),
};
TABLE(login, login, "Login", "Signs a user in.");

static const struct codec_field fields_session[] = {
    F(session, id, ID, C, "Id of the session"),
    F(session, user_id, ID, 0, "The user"),
    F(session, user, NAME, C, "Their name"),
    F(session, project_id, ID, O, "The project it acts in; operators have none"),
    F(session, role, ENUM, C, "The role it has", .names = api_role_names),
    F(session, remote, STRING, C | O, "The address it came from"),
    F(session, csrf_token, STRING, O, "To send as X-CSRF-Token with everything "
      "but GET where the cookie signs in"),
    F(session, token, STRING, O, "The bearer token, in the reply to the login "
      "only"),
    F(session, current, BOOL, C, "The one that asks"),
    F(session, generation, INT, 0, "Number of changes"),
    F(session, created_at, TIME, C, "When it began"),
    F(session, last_seen_at, TIME, C | O, "When it was last used, to the "
      "minute"),
    F(session, expires_at, TIME, C, "When it ends"),
};
TABLE(session, session, "Session", "A user who is signed in.");

static const struct codec_field fields_session_change[] = {
    F(session_change, project, REF, R, "The project to act in from now on"),
};
TABLE(session_change, session_change, "SessionChange",
      "What to change of the session in use.");

static const struct codec_field fields_password_change[] = {
    F(password_change, old_password, STRING, R, "The present password",
      .max = PASSWORD_MAX),
    F(password_change, new_password, STRING, R, "The new one",
      .min = PASSWORD_MIN, .max = PASSWORD_MAX),
};
TABLE(password_change, password_change, "PasswordChange",
      "A user's new password.");

static const struct codec_field fields_whoami[] = {
    F(whoami, token_id, ID, C | O, "Id of the token in use"),
    F(whoami, token_name, NAME, C | O, "Its name"),
    F(whoami, role, ENUM, C, "The role in force", .names = api_role_names),
    F(whoami, scopes, STRINGS, O, "What the token is good for; none: all that "
      "its role may do"),
    F(whoami, project_id, ID, C | O, "Its project; operators have none"),
    F(whoami, user_id, ID, O, "The user who is signed in"),
    F(whoami, user_name, NAME, C | O, "Their name"),
    F(whoami, session_id, ID, O, "The session in use"),
    F(whoami, csrf_token, STRING, O, "Of a session by cookie"),
    F(whoami, memberships, LIST, O, "Where the user may do what",
      .sub = &table_membership),
};
TABLE(whoami, whoami, "Whoami", "Who the caller is.");

#define QUOTA(M, UNIT)                                                         \
    F(quota_values, M, INT, R | C, UNIT "; -1: unlimited", .min = -1,          \
      .max = INT64_MAX)
static const struct codec_field fields_quota_values[] = {
    QUOTA(instances, "Instances"),
    QUOTA(vcpus, "Virtual CPUs of instances"),
    QUOTA(memory_bytes, "Memory of instances"),
    QUOTA(disk_bytes, "Root disks of instances"),
    QUOTA(volumes, "Volumes"),
    QUOTA(addresses, "Floating IP addresses"),
    QUOTA(networks, "Networks"),
    QUOTA(images, "Images"),
    QUOTA(image_bytes, "Files of images"),
    QUOTA(tokens, "Tokens"),
};
TABLE(quota_values, quota_values, "QuotaValues", "One number per resource.");

static const struct codec_field fields_quota[] = {
    F(quota, project_id, ID, C, "The project"),
    F(quota, generation, INT, 0, "Number of changes of the limits"),
    F(quota, limits, OBJECT, 0, "What it may have", .sub = &table_quota_values),
    F(quota, used, OBJECT, 0, "What it has", .sub = &table_quota_values),
};
TABLE(quota, quota, "Quota", "What a project may have and has.");

static const struct codec_field fields_quota_set[] = {
    F(quota, limits, OBJECT, R, "What it may have", .sub = &table_quota_values),
};
TABLE(quota_set, quota, "QuotaSet", "A project's limits.");

static const struct codec_field fields_quota_fault[] = {
    F(quota_fault, resource, STRING, I, "Which quota"),
    F(quota_fault, limit, INT, I, "The limit", .max = INT64_MAX),
    F(quota_fault, used, INT, I, "In use", .max = INT64_MAX),
    F(quota_fault, asked, INT, I, "Asked for in addition", .max = INT64_MAX),
};
TABLE(quota_fault, quota_fault, "QuotaFault", "A quota that does not allow it.");

static const struct codec_field fields_keypair[] = {
    F(keypair, id, ID, C, "Id of the keypair"),
    F(keypair, name, NAME, R | C, "Name, unique in the project"),
    F(keypair, project_id, ID, 0, "The project that owns it"),
    F(keypair, public_key, STRING, R, "The public key, one line as in "
      "~/.ssh/id_ed25519.pub", .min = 16, .max = 16384),
    F(keypair, fingerprint, STRING, C, "Its SHA-256 fingerprint, as ssh-keygen "
      "shows it"),
    F(keypair, generation, INT, 0, "Number of changes"),
    F(keypair, created_at, TIME, C, "When it was created"),
};
TABLE(keypair, keypair, "Keypair", "A public SSH key that instances get.");
