#!/bin/bash
# 36-backup.t - a backup of a controller at work, and what comes back from it:
# `virga admin backup` under load, `virga-controllerd --restore`, agents that
# know more than the restored state, and archives that are no backups.
# shellcheck disable=SC2154,SC2317 # set by cloud.sh; functions called by name
. "$(dirname "$0")/cloud.sh"
for name in curl jq sqlite3 tar; do
    command -v "$name" >/dev/null || tap_skip_all "$name is missing"
done
controllerd=$top_builddir/virga-controllerd

tap_ok "the controller starts" cloud_controller || tap_done
tap_ok "an agent joins" cloud_agent n1 sim --sim-options cpus=1000 || tap_done
furnished() {
    printf MZ >"$T/kernel"
    head -c 1022 /dev/zero >>"$T/kernel"
    printf HdrS | dd of="$T/kernel" bs=1 seek=514 conv=notrunc status=none
    "$virga" flavor create small --vcpus 1 --memory 16M --disk 0 &&
        "$virga" image create tiny --kernel "$T/kernel"
}
tap_ok "flavor and image" furnished
tap_ok "two instances run" eval '
    "$virga" launch tiny kept --flavor small --wait &&
        "$virga" launch tiny halted --flavor small --wait &&
        "$virga" instance stop halted --wait'

# Changes go on while it is made.
busy() {
    local k=0

    while [ ! -e "$T/enough" ]; do
        k=$((k + 1))
        "$virga" project create "p-$k" >/dev/null 2>&1 && echo "p-$k"
    done >"$T/projects"
}
busy &
busy_pid=$!
wait_for 30 test -s "$T/projects"
cp "$T/projects" "$T/projects.before"
tap_ok "a backup while others write" "$virga" admin backup "$T/b.tar.gz"
touch "$T/enough"
wait "$busy_pid"
tap_is "it is the owner's alone" "$(stat -c %a "$T/b.tar.gz")" 600
tap_is "it holds what it says" "$(tar -tzf "$T/b.tar.gz" | tr '\n' ' ')" \
    "manifest.json controller.db pki/ca.crt pki/ca.key "
sums_agree() {
    mkdir "$T/x" && tar -xzf "$T/b.tar.gz" -C "$T/x" || return
    (cd "$T/x" && jq -r '.files[] | "\(.sha256)  \(.name)"' \
        manifest.json | sha256sum -c)
}
tap_ok "each file is the one of the manifest" sums_agree
tap_is "the database is sound" \
    "$(sqlite3 "$T/x/controller.db" 'PRAGMA integrity_check')" ok
all_there() {
    sqlite3 "$T/x/controller.db" 'SELECT name FROM projects' | sort >"$T/have"
    [ -z "$(sort "$T/projects.before" | comm -23 - "$T/have")" ]
}
tap_ok "all that was there before is in it" all_there
tap_ok "a file that is there is not overwritten" eval \
    '! "$virga" admin backup "$T/b.tar.gz"'
tap_is "nothing is left beside the state" \
    "$(find "$cloud_dir" -name 'backup.*' | wc -l)" 0
rest POST /v1/tokens -d '{"name":"weak","role":"admin","project":"default"}'
weak=$(field .token)
tap_is "who is no operator gets none" "$(curl -s --cacert "$VIRGA_CA" -o "$body" \
    -w '%{http_code}' -H "Authorization: Bearer $weak" \
    "$VIRGA_URL/v1/admin/backup")" 403
# It waits for a file that is a pipe now, until the token is gone.
revoked_meanwhile() {
    local crt=$cloud_dir/pki/ca.crt pid status

    rest POST /v1/tokens -d '{"name":"brief","role":"operator"}'
    brief=$(field .token)
    cp "$crt" "$T/ca.copy" && rm "$crt" && mkfifo "$crt" || return
    curl -s --cacert "$VIRGA_CA" -o "$T/brief" -w '%{http_code}' \
        -H "Authorization: Bearer $brief" \
        "$VIRGA_URL/v1/admin/backup" >"$T/brief.status" &
    pid=$!
    # shellcheck disable=SC2016 # for the shell in there
    timeout 60 bash -c 'exec 9>"$1" && "$2" token delete brief &&
        mv "$3" "$1" && cat "$1" >&9' - "$crt" "$virga" "$T/ca.copy"
    status=$?
    [ -p "$crt" ] && mv "$T/ca.copy" "$crt"
    wait "$pid"
    cat "$T/brief.status"
    [ "$status" = 0 ] && [ "$(cat "$T/brief.status")" = 401 ] &&
        grep -q bad_token "$T/brief"
}
cp "$VIRGA_CA" "$T/ca.given"
VIRGA_CA=$T/ca.given tap_ok "none to whose token goes while it is made" \
    revoked_meanwhile

# What the agent learns after the backup is what is lost with the controller.
tap_ok "after it: one starts, one goes, one comes" eval '
    "$virga" instance start halted --wait &&
        "$virga" instance delete kept --wait &&
        "$virga" launch tiny late --flavor small --wait'
late=$("$virga" instance show late --output json | jq -r .id)
tap_ok "the controller ends" cloud_end "$controller"

restore() { # FOLDER ARCHIVE
    "$controllerd" --state-dir "$1" --restore "$2"
}
tap_ok "not over a state that is there" eval \
    '! restore "$cloud_dir" "$T/b.tar.gz" && test -s "$cloud_dir/controller.db"'
mv "$cloud_dir" "$T/lost"
mkdir "$cloud_dir"
echo old >"$cloud_dir/controller.db-wal"
tap_ok "not beside the log of a database that is gone" eval \
    '! restore "$cloud_dir" "$T/b.tar.gz" && rm "$cloud_dir/controller.db-wal"'
leftovers() { # as of one that was killed
    mkdir "$cloud_dir/backup.a1B2c3" "$cloud_dir/restore.a1B2c3" &&
        echo secret >"$cloud_dir/backup.a1B2c3/controller.db" &&
        echo secret >"$cloud_dir/restore.a1B2c3/controller.db"
}
leftovers
tap_ok "it is restored" restore "$cloud_dir" "$T/b.tar.gz"
tap_is "and nothing else is there" "$(cd "$cloud_dir" && find . -type f | sort |
    tr '\n' ' ')" "./controller.db ./lock ./pki/ca.crt ./pki/ca.key "
leftovers
cp "$T/lost/admin.token" "$cloud_dir/"
cp -r "$T/lost/images" "$cloud_dir/"
tap_ok "the controller starts from it, with the tokens that it knew" \
    cloud_controller
tap_is "what killed backups left is gone" \
    "$(find "$cloud_dir" -name '*.a1B2c3' | wc -l)" 0
tap_ok "the node comes back by itself" wait_for 60 eval \
    'rest GET /v1/nodes/n1 && [ "$(field .state)" = up ]'
state_is() {
    rest GET "/v1/instances/$1" && [ "$(field .state)" = "$2" ]
}
# Stopped is what is wanted by the state that counts now.
tap_ok "what was stopped is stopped again" wait_for 60 state_is halted stopped
tap_ok "what was there and went is told as lost" wait_for 60 eval \
    'state_is kept error || state_is kept running'
tap_diag "kept is $(field .state)"
quarantined() {
    rest GET /v1/nodes/n1 && field '.quarantined[]' | grep -qx "$late"
}
tap_ok "what came later runs on, in quarantine" wait_for 60 quarantined
tap_ok "new instances are made" "$virga" launch tiny new \
    --flavor small --wait

# ---- what is no backup ----
pack() { # MEMBER…: as tar orders them, of $T/x
    tar -czf "$T/bad.tar.gz" -C "$T/x" "$@"
}
whole=(manifest.json controller.db pki/ca.crt pki/ca.key)
# With these words, and nothing came of it.
was_refused() { # STATUS TEXT
    cat "$T/out"
    [ "$1" = 1 ] && grep -q -- "$2" "$T/out" &&
        [ -z "$(find "$T/new" -type f ! -name lock)" ]
}
refuse() { # WHAT TEXT
    local expected=$2 rc=0

    mkdir "$T/new"
    restore "$T/new" "$T/bad.tar.gz" >"$T/out" 2>&1 || rc=$?
    tap_ok "refused: $1" was_refused "$rc" "$expected"
    rm -rf "$T/new"
}
head -c 4096 /dev/urandom >"$T/bad.tar.gz"
refuse "noise" "not an archive"
head -c $(($(stat -c %s "$T/b.tar.gz") / 2)) "$T/b.tar.gz" >"$T/bad.tar.gz"
refuse "one that is cut short" "damaged\|missing\|not an archive"
pack controller.db
refuse "one without a manifest" "does not begin with a manifest"
pack manifest.json controller.db pki/ca.crt
refuse "one without a member" "pki/ca.key is missing"
pack "${whole[@]}" pki/ca.key
refuse "a member twice" "pki/ca.key is there twice\|not a plain file"
echo evil >"$T/x/evil"
tar -czf "$T/bad.tar.gz" -C "$T/x" manifest.json --transform 's|^evil|../evil|' \
    -P evil
refuse "a member elsewhere" "does not belong"
ln -s /etc/passwd "$T/x/link"
tar -czf "$T/bad.tar.gz" -C "$T/x" manifest.json --transform \
    's|^link|controller.db|' link
refuse "a link in a member's place" "not a plain file"
cp "$T/x/controller.db" "$T/sound.db"
printf X | dd of="$T/x/controller.db" bs=1 seek=5000 conv=notrunc status=none
pack "${whole[@]}"
refuse "a byte that changed" "is not what the manifest says"
cp "$T/x/manifest.json" "$T/m.good"
resum() { # the manifest agrees with the database again
    jq --arg s "$(sha256sum "$T/x/controller.db" | cut -d' ' -f1)" \
        '(.files[] | select(.name == "controller.db")).sha256 = $s' "$T/m.good" >"$T/x/manifest.json"
}
head -c 100000 /dev/urandom >"$T/x/controller.db"
resum
pack "${whole[@]}"
refuse "a database that is none, well summed" "controller.db\|database"
cp "$T/sound.db" "$T/x/controller.db"
sqlite3 "$T/x/controller.db" 'PRAGMA user_version=9999'
resum
pack "${whole[@]}"
refuse "a database of a later version" "newer\|version"
jq '.format = 2' "$T/m.good" >"$T/x/manifest.json"
pack "${whole[@]}"
refuse "an archive of a later format" "another version"
tap_done
